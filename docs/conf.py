"""How Sphinx makes the site; docs/build.py calls it."""

project = "Chat API"
html_title = "Chat API"
extensions = ["myst_parser"]
myst_heading_anchors = 4  # the headings that links may name, as on GitHub
# Its colours for JavaScript and HTML do not know all of them; what they do not know stays plain.
suppress_warnings = ["misc.highlighting_failure"]
html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6b58", "color-brand-content": "#0b6b58"},
    "dark_css_variables": {"color-brand-primary": "#7bd3bd", "color-brand-content": "#7bd3bd"},
    "top_of_page_buttons": [],
}
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
# Nothing is loaded from elsewhere, so the site can be read without internet.
