"""Start a process of a test without the chapters' experiments, whose imports take seconds.

Imported first, it puts the toy in the place of the catalogue; ``erfbook.experiments`` stays a
package, so that its modules are found as always.
"""

import sys
import types
from importlib.util import find_spec
from pathlib import Path

package = types.ModuleType("erfbook.experiments")
package.__path__ = [str(Path(find_spec("erfbook").origin).parent / "experiments")]
sys.modules[package.__name__] = package

import toy_experiment  # noqa: E402

catalogue = types.ModuleType("erfbook.experiments.catalogue")
catalogue.EXPERIMENTS = toy_experiment.EXPERIMENTS
sys.modules[catalogue.__name__] = package.catalogue = catalogue
