"""``python -m erfbook`` is the ``erfbook`` command."""

from erfbook.cli import main

raise SystemExit(main())
