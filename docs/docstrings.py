"""Our docstrings as reStructuredText.

They are plain sentences with code in single backticks, `name: what it is` for arguments, and indented examples after
an empty line. Nothing else in them is markup: stars, bars and underscores are what they look like.
"""

import inspect
import re
import textwrap

CODE_OR_LINK = re.compile(r"(`[^`]+`|https?://[^\s,;)]*[^\s,;).:])")
ARGUMENTS = re.compile(r"(?:^|(?<=[.;:)] ))((?:`?\w+`?(?:, | and ))*`?\w+`?): ")


def process(app, what, name, obj, options, lines):
    """Handler of Sphinx's event `autodoc-process-docstring`: changes `lines` in place."""
    lines[:] = to_rst("\n".join(lines), names_of(obj)).splitlines()


def names_of(obj):
    """What a docstring may explain: arguments, and of a class its attributes."""
    if inspect.isclass(obj):
        initializers = [one.__init__ for one in obj.__mro__ if "__init__" in vars(one)]
        return set(dir(obj)).union(*map(parameters, initializers))
    return parameters(obj)


def parameters(obj):
    try:
        return set(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        return set()


def to_rst(docstring, names=()):
    blocks = re.split(r"\n\s*\n", textwrap.dedent(docstring).strip("\n"))
    return "\n\n".join(code(block) if block.startswith("    ") else prose(block, names) for block in blocks)


def code(block):
    return ".. code-block:: python\n\n" + textwrap.indent(textwrap.dedent(block), "    ")


def prose(block, names):
    """A paragraph: sentences first, then a list of the arguments that it explains."""
    text = " ".join(line.strip() for line in block.splitlines())
    pieces, start, heading = [], 0, ""
    for match in ARGUMENTS.finditer(text):
        found = re.findall(r"\w+", re.sub(r"\band\b", "", match[1]))
        if set(found) <= set(names):
            pieces.append((heading, text[start : match.start()].strip()))
            start, heading = match.end(), ", ".join(f"``{name}``" for name in found)
    pieces.append((heading, text[start:]))
    return "\n\n".join(item(heading, text) for heading, text in pieces if text)


def item(heading, text):
    """Sentences as paragraphs, one for each fact; under a heading, as the definition of what it names."""
    first, *facts = split_facts(text)
    if heading:
        first = f"{heading}\n    {escape(first)}"
    return "\n\n".join([first if heading else escape(first), *map(escape, facts)])


def split_facts(text):
    return re.split(
        r"(?<=[.:/\w]) (?=(?:Inputs?|Outputs?|Weights): |(?:Returns|Raises) (?=[A-Z(a-z`]))", text
    )


def escape(text):
    """Markup characters shielded, but for code and links."""
    parts = CODE_OR_LINK.split(text)
    for index, part in enumerate(parts):
        if part.startswith("`"):
            after = parts[index + 1][:1] if index + 1 < len(parts) else ""
            parts[index] = f"`{part}`" + ("\\ " if after.isalnum() else "")
        elif not part.startswith("http"):
            parts[index] = re.sub(r"([\\*|_`])", r"\\\1", part)
    return "".join(parts)
