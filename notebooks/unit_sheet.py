# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A sheet for any unit
#
# **Question.** What does this one {term}`channel` prefer, at this position and at that one, and at all of them at once?
#
# This page explores; it decides no claim. It makes for one channel what the chapters of this part make for many, for any network, layer, channel and position. Your own sheet takes one line (`erfbook run unit_sheet --help` lists all that can be set):
#
# ```
# erfbook run unit_sheet -p layer _blocks.6 -p channel 42 -p positions centre,border,2:5
# erfbook run unit_sheet -p network googlenet -p weights DEFAULT -p layer inception4c -p channel 3
# ```
#
# The second fetches torchvision's weights once. A network of your own is `my_file.py:make_model`, its weights `-p weights my_file.pt`. A position is a name (`centre`, `edge`, `corner`, `border`) or `row:column` on the layer's grid.
# Plain papermill works as well: convert the notebook with jupytext and give the same names; the first code cell checks them.

# %% tags=["parameters"]
profile = "laptop"  # smoke, laptop or paper

# %% tags=["hide-input"]
from erfbook import plots
from erfbook.book import page
from erfbook.experiments import registry
from erfbook.experiments.seen import position_tables, sheet, sheet_tables

run = page.begin("unit_sheet", globals())
p = run.parameters
run.report("network", position_tables.describe_network(p));

# %% [markdown]
# The network and how it differs from the paper's: {glue:text}`network`.
#
# (sec-us-field)=
# ## What the unit could see
#
# **The exact field says which pixels can matter, before any picture is made.** With stride $S$, padding $P$ and size $r$, unit $u$ sees from $uS - P$ to $uS - P + r - 1$ along an axis, and of its field's area the share
#
# $$
# 1 - \prod_{\text{axes}} \frac{|[uS - P,\ uS - P + r - 1] \cap [0,\ n - 1]|}{r}
# $$ (eq-us-cut)
#
# lies outside an image of $n$ px.

# %%
config = sheet_tables.configure_sheet(run.profile, p)
(record,) = registry.obtain(sheet.UNIT_SHEET, config, [p.seed], run.store, progress=config.name)
found = sheet.open_sheet(record)
for name, result in sheet_tables.name_sheet(found).items():
    run.report(name, **result)
sheet_tables.tabulate_sheet(found)

# %% [markdown]
# (sec-us-pictures)=
# ## What it prefers
#
# **Each picture begins as random dots and is moved along the gradient of one unit**, or of all the channel's units (the last row, where it is asked for). Inside the white-edged box are the pixels that can matter; what lies outside it is the start. Driven is the {glue:text}`target`.

# %% mystnb={"figure": {"name": "fig-sheet-pictures", "caption": "Channel {glue:text}`channel:d` of {glue:text}`layer`: one row per position, one column per restart. Boxes are exact fields, crosses their centres. What restarts share the channel asks for; what they do not share it leaves open."}, "image": {"alt": "A grid of pictures: rows are positions of one unit, the last row all positions at once; columns are restarts. Coloured boxes mark the exact field where it lies in the picture."}} tags=["hide-input"]
n_rows, n_columns = found.pictures.shape[:2]
fig, axes = plots.figure(n_rows, n_columns, height=2.2, width=2.3 * n_columns, squeeze=False)
plots.plot_sheet_pictures(axes, found);
# %% mystnb={"figure": {"name": "fig-sheet-responses", "caption": "How the response rises: one colour per position, one line per restart. A curve that still rises at the end says that the pictures are not finished: take more steps."}, "image": {"alt": "Rising curves of response against step, one colour for each position, the mean over all positions dashed."}} tags=["hide-input"]
fig, ax = plots.figure(height=3.0, width=6.0)
plots.plot_sheet_responses(ax, found);
# %% [markdown]
# (sec-us-limits)=
# ## What this can't tell, and what would refute it
#
# One channel is an anecdote: whether positions differ is tested over many channels in the chapter on positions. Pictures are what raises the response most along one path from one start, not the only thing the unit answers to. The last tenth of the steps raised the response by {glue:text}`still_rising:.1%`. A pixel outside a box that differs from the
# start would refute the exact field: {glue:text}`outside_moved:,d` such values were found.
#
# ## Summary
#
# Channel {glue:text}`channel:d` of {glue:text}`layer` sees {glue:text}`field_px:d` px; {glue:text}`inside:.0%` of its positions lie wholly inside the image.

# %%
run.finish()
