"""One pass over a script: changes what keras 2.3.1 and Keras 3 both accept in a new form, and reports the rest."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import libcst as cst
import libcst.matchers as m

from bert4keras3.migrate import files
from bert4keras3.migrate.edits import Edits, import_from, with_literal, with_name, without_arguments
from bert4keras3.migrate.names import Names, canonical, dotted, moved, root_of
from bert4keras3.migrate.tables import (
    ADD_WEIGHT,
    ADVICE,
    GENERATOR_METHODS,
    KERAS3_BACKEND,
    NOTES,
    PUBLIC_MODULES,
    QUEUE_ARGUMENTS,
    SENTENCES,
)

OPTIMIZER = re.compile(r"(keras|bert4keras3)\.optimizers\.[A-Z]\w*$")
EXTENDED_OPTIMIZER = re.compile(r"bert4keras3\.optimizers\.extend_with_\w+$")
LAMBDA = ("keras.layers.Lambda", "bert4keras3.layers.Lambda")
MODEL_CALLS = ("fit", "evaluate", "predict")


class Finding(NamedTuple):
    """A change that the user has to make at a line; or a note, which needs no change."""

    line: int
    kind: str
    message: str
    is_note: bool = False


def rewrite(module: cst.Module) -> tuple[cst.Module, list[Finding]]:
    """(the module for Keras 3, findings sorted by line)."""
    names = Names(module)
    rewriter = Rewriter(names)
    names.module.visit(rewriter)
    rewriter.finish()
    return names.module.visit(rewriter.edits), sorted(set(rewriter.findings))


class Rewriter(cst.CSTVisitor):
    def __init__(self, names: Names):
        super().__init__()
        self.names = names
        self.edits = Edits()
        self.findings: list[Finding] = []
        self.rewritten_roots: set[Any] = set()
        self.tensorflow_imports: list[tuple[Any, Any]] = []
        self.added_imports: dict[Any, list[str]] = {}
        self.weights: dict[str, list[Any]] = {}  # name of a file that is saved → literals that name it
        self.models: dict[str, list[Any]] = {}
        self.literals: list[Any] = []
        losses: Any = m.findall(names.module, m.Arg(value=m.Name(), keyword=m.Name("loss")))
        self.losses = {one.value.value for one in losses}  # names that are passed as `loss=`

    def find(self, node, kind, message):
        self.findings.append(Finding(self.names.line(node), kind, message))

    def note(self, node, kind, *values):
        self.findings.append(Finding(self.names.line(node), kind, NOTES[kind] % values, True))

    def advise(self, node, subject):
        """Report the advice of each row that matches the subject; return whether one does."""
        found = False
        for advice in ADVICE:
            if any(fnmatchcase(subject, pattern) for pattern in advice.recognised):
                self.findings.append(self.finding_of(node, advice))
                found = True
        return found

    def finding_of(self, node, advice):
        function = self.around(node, cst.FunctionDef)
        sentence = advice.instead
        if advice.kind == "gradients" and self.is_in_call_of_layer(function):
            return Finding(self.names.line(node), advice.kind, NOTES["gradients"], True)
        if advice.kind == "gradients":
            sentence = SENTENCES.get(self.use_of_gradients(function), sentence)
        name = self.named(function) if function else "this code"
        sentence = sentence.replace("{function}", name, 1).replace("{function}", name.split(" (")[0])
        return Finding(self.names.line(node), advice.kind, sentence, advice.is_note)

    def around(self, node, kind):
        """The outermost function or class around a node; None if there is none."""
        found = None
        while node is not None:
            found = node if isinstance(node, kind) else found
            node = self.names.parents.get(node)
        return found

    def named(self, function):
        """Name and lines of a function, or of the class around it, for a message."""
        owner = self.around(function, cst.ClassDef) or function
        place = self.names.positions[owner]
        return f"{owner.name.value} (lines {place.start.line} to {place.end.line})"

    def is_in_call_of_layer(self, function):
        owner = self.names.class_around(function)
        return (
            owner is not None and function.name.value == "call" and self.names.origin_of_class(owner) != "own"
        )

    def use_of_gradients(self, function):
        if function is None:
            return ""
        if re.search(r"\.(_make_)?train_function\b", self.names.module.code_for_node(function)):
            return "gradients in training"
        return "gradients in a loss" if function.name.value in self.losses else ""

    # Imports

    def visit_ImportFrom(self, node):
        if node.relative or node.module is None:
            return False
        module = dotted(node.module)
        if isinstance(node.names, cst.ImportStar):
            self.from_star(node, module)
            return False
        wanted = []
        for alias in node.names:
            name = alias.name.value
            bound = alias.asname.name.value if alias.asname else name
            full = module + "." + name
            self.check_import(node, moved(canonical(full)))
            wanted.append(self.new_home(module, name) + (bound,))
        if wanted == [(module, alias.name.value, bound) for alias, (_, _, bound) in zip(node.names, wanted)]:
            return False
        modules = list(dict.fromkeys(one[0] for one in wanted))
        same_names = all(alias.name.value == one[1] for alias, one in zip(node.names, wanted))
        if len(modules) == 1 and same_names:
            self.edits.set(node, module=with_name(node.module, modules[0]))
            return False
        self.edits.replace_statement(
            node, [import_from(one, [w[1:] for w in wanted if w[0] == one]) for one in modules]
        )
        return False

    def from_star(self, node, module):
        new = moved(canonical(module))
        if new == "keras.backend" or module == "keras.backend":
            self.find(node, "backend_name", SENTENCES["backend_name"] % ("*", "…"))
        elif self.check_import(node, new + ".*"):
            pass
        elif new != module:
            self.edits.set(node, module=with_name(node.module, new))

    def new_home(self, module, name):
        """(module, name) that exists on both Keras 2 and Keras 3."""
        full = module + "." + name
        new = moved(canonical(full))
        if new == full and new != "keras.backend":
            return module, name
        if new in ("keras", "keras.backend"):
            return "bert4keras3.backend", new.replace("keras.backend", "K")
        if new.split(".")[0] not in ("keras", "bert4keras3"):
            return module, name
        return tuple(new.rsplit(".", 1))

    def check_import(self, node, name):
        """Report a name that cannot be imported from Keras 3; return whether it was reported."""
        if self.advise(node, name[:-2] if name.endswith(".*") else name):
            return True
        module, last = name.rsplit(".", 1) if "." in name else (name, "")
        if module == "keras.backend" and last not in KERAS3_BACKEND and last != "*":
            self.find(node, "backend_name", SENTENCES["backend_name"] % (last, last))
            return True
        parts = module.split(".")
        public = PUBLIC_MODULES | {"keras"}
        if parts[0] == "keras" and ".".join(parts[:2] if len(parts) < 3 else parts[:3]) not in public:
            if parts[1] not in ("applications", "datasets", "ops"):
                self.find(node, "private_module", SENTENCES["private_module"] % module)
                return True
        return False

    def visit_Import(self, node):
        aliases: list[Any] = []
        statements: list[Any] = []
        for alias in node.names:
            name = dotted(alias.name)
            new = moved(canonical(name))
            bound = alias.asname.name.value if alias.asname else ""
            if name.split(".")[0] == "tensorflow" and (new == name or not bound):
                self.tensorflow_imports.append((node, alias))
                aliases.append(alias)
                self.advise(node, new)
            elif bound and new in ("keras", "keras.backend") and name != "keras":
                exported = new.replace("keras.backend", "K")
                statements.append(import_from("bert4keras3.backend", [(exported, bound)]))
            elif new.split(".")[0] in ("keras", "bert4keras3") and not name.startswith(
                "bert4keras.backend.K"
            ):
                self.check_import(node, new + ".*" if new.count(".") else new)
                aliases.append(alias.with_changes(name=with_name(alias.name, new)) if new != name else alias)
            else:
                self.advise(node, new)
                aliases.append(alias)
        if len(aliases) == len(node.names):
            if any(one is not alias for one, alias in zip(aliases, node.names)):
                self.edits.set(node, names=aliases)
            return False
        if aliases:
            aliases[-1] = aliases[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
            statements.insert(0, node.with_changes(names=aliases))
        self.edits.replace_statement(node, statements)
        return False

    # Names

    def visit_Assign(self, node):
        """`keras = tf.keras` and `K = keras.backend` become imports."""
        target = node.targets[0].target
        new = self.names.canonical(node.value)
        is_alias = len(node.targets) == 1 and isinstance(target, cst.Name)
        if not is_alias or new not in ("keras", "keras.backend") or not isinstance(node.value, cst.Attribute):
            return True
        self.use(node.value, rewrites=False)
        exported = new.replace("keras.backend", "K")
        self.edits.replace_statement(node, [import_from("bert4keras3.backend", [(exported, target.value)])])
        self.rewritten_roots.add(root_of(node.value))
        return False

    def visit_Attribute(self, node):
        if self.names.raw(node) is not None:
            self.use(node)
            return False
        attribute = node.attr.value
        if self.names.may_be_keras(node.value):
            if not self.is_of_its_class(node):
                self.advise(node.attr, "." + attribute)
            if attribute == "lr" and self.is_optimizer(node.value):
                self.edits.set(node.attr, value="learning_rate")
            parent = self.names.parents[node]
            if attribute in GENERATOR_METHODS and not (isinstance(parent, cst.Call) and parent.func is node):
                self.find(
                    node, "unfinished_call", SENTENCES["unfinished_call"] % (attribute, attribute[:-10])
                )
        if attribute == "validation_data":
            self.check_validation_data(node)
        node.value.visit(self)
        return False

    def is_of_its_class(self, node):
        """Whether `self.attribute` is an attribute of layers, or is assigned in the class itself."""
        if not self.names.is_self(node.value):
            return False
        attribute = node.attr.value
        return attribute in ("add_loss", "add_metric") or (
            attribute != "train_function" and self.is_assigned_in_class(node)
        )

    def is_assigned_in_class(self, node):
        owner = self.names.module.code_for_node(self.names.class_around(node))
        return bool(re.search(rf"\bself\.{node.attr.value}\b[^=\n]*=[^=]", owner))

    def visit_Name(self, node):
        if self.names.raw(node) is not None:
            self.use(node)

    def visit_Arg(self, node):
        node.value.visit(self)  # not the keyword, which is not a name of the script
        return False

    def visit_parts(self, *parts):
        for part in parts:
            if part is not None:
                part.visit(self)
        return False

    def visit_Param(self, node):
        return self.visit_parts(node.default, node.annotation)

    def visit_ClassDef(self, node):
        return self.visit_parts(*node.decorators, *node.bases, *node.keywords, node.body)

    def visit_FunctionDef(self, node):
        if self.names.class_around(node):
            self.advise(node.name, "def " + node.name.value)
        return self.visit_parts(*node.decorators, node.params, node.returns, node.body)

    def use(self, node, rewrites=True):
        """Handle an imported name, or a dotted name whose root is imported."""
        raw = self.names.raw(node)
        new = moved(canonical(raw))
        is_advised = self.advise(node, new)
        root = root_of(node)
        if raw.split(".")[0] == "tensorflow" and not new.startswith("keras"):
            if "." in new and not is_advised and raw != "tensorflow.keras":
                self.note(node, "tensorflow", new[len("tensorflow.") :])
            return
        if rewrites and new.split(".")[0] in ("keras", "bert4keras3"):
            text = self.new_text(node, root, new)
            if text != dotted(node):
                self.edits.change(node, lambda updated: with_name(updated, text))
                self.rewritten_roots.add(root)

    def new_text(self, node, root, new):
        """How the script can write this canonical name."""
        raw_root = self.names.raw(root)
        if raw_root == "bert4keras" and root.value == "bert4keras":
            return "bert4keras3" + dotted(node)[len("bert4keras") :]
        new_root = moved(canonical(raw_root))
        parts = new.split(".")
        in_backend = parts[:2] == ["keras", "backend"] and (len(parts) < 3 or parts[2] not in KERAS3_BACKEND)
        bound = root.value
        if in_backend and new_root == "keras":
            return self.through("K", node, root, [bound] + parts[1:], parts[2:])
        if new == new_root or new.startswith(new_root + "."):
            return bound + new[len(new_root) :]
        if new_root.startswith("bert4keras3") and not raw_root.startswith("keras"):
            return dotted(node)  # bert4keras.backend.K.sum
        if in_backend:
            return self.through("K", node, root, dotted(node).split("."), parts[2:])
        return self.through("keras", node, root, dotted(node).split("."), parts[1:])

    def through(self, exported, node, root, old, rest):
        """`K.rest` or `keras.rest`, and the import if it is missing; the old text if the name has another meaning."""
        wanted = "keras.backend" if exported == "K" else "keras"
        assignments = set(self.names.scopes[root][exported])
        meanings = {canonical(self.names.raw_of(one, exported) or "") for one in assignments}
        places = [getattr(one, "node", None) for one in self.names.assignments(root)]
        places = [one for one in places if isinstance(one, (cst.Import, cst.ImportFrom))]
        if meanings - {wanted} or not assignments and not places:
            self.find(node, "name_taken", SENTENCES["name_taken"] % (dotted(node), exported, exported))
            return ".".join(old)
        if not assignments:
            for place in places:
                added = self.added_imports.setdefault(place, [])
                if exported not in added:
                    added.append(exported)
        return ".".join([exported] + rest)

    # Calls

    def visit_Call(self, node):
        name = self.names.canonical(node.func)
        keywords = {one.keyword.value: place for place, one in enumerate(node.args) if one.keyword}
        if name is not None:
            for keyword in keywords:
                self.advise_keyword(node, name, keyword)
            self.call_of_name(node, name, keywords)
        if self.is_optimizer_class(node.func):
            self.optimizer_arguments(node, keywords)
        if isinstance(node.func, cst.Attribute) and self.names.raw(node.func) is None:
            self.call_of_method(node, node.func.attr.value, keywords)
        return True

    def advise_keyword(self, node, name, keyword):
        value = [one.value for one in node.args if one.keyword and one.keyword.value == keyword][0]
        if keyword == "decay" and is_zero(value) or keyword == "period" and is_one(value):
            return
        self.advise(value, f"{name}({keyword})")

    def call_of_name(self, node, name, keywords):
        if name in ("importlib.import_module", "builtins.__import__") and node.args:
            value = node.args[0].value
            if isinstance(value, cst.SimpleString) and re.match(
                r"\w*['\"]+bert4keras(?=[.'\"])", value.value
            ):
                self.edits.set(value, value=value.value.replace("bert4keras", "bert4keras3", 1))
        elif name in ("keras.models.Model", "keras.Model"):
            for old in ("input", "output"):
                if old in keywords:
                    self.edits.set(node.args[keywords[old]].keyword, value=old + "s")
        elif name == "keras.callbacks.ModelCheckpoint":
            self.checkpoint(node, keywords)
        elif name in LAMBDA:
            self.check_lambda(node)
        elif name == "keras.models.save_model":
            self.saved(self.models, node, keywords, 1)

    def call_of_method(self, node, method, keywords):
        receiver = node.func.value
        if method in GENERATOR_METHODS:
            self.generator_method(node, method, keywords)
            return
        if not self.names.may_be_keras(receiver):
            return
        for keyword in keywords:
            self.advise_keyword(node, "." + method, keyword)
        if method in MODEL_CALLS:
            self.drop_queue_arguments(node, keywords)
        elif method == "save_weights" or method == "save" and self.names.origin(receiver) == "keras":
            self.saved(self.weights if method == "save_weights" else self.models, node, keywords, 0)
            self.drop(node, [keywords["save_format"]] if "save_format" in keywords else [])
        elif method == "add_weight" and node.args and isinstance(node.args[0].value, cst.SimpleString):
            self.name_arguments(node, dict(enumerate(ADD_WEIGHT)))

    def is_optimizer_class(self, node):
        if OPTIMIZER.match(self.names.canonical(node) or ""):
            return True
        return any(
            isinstance(value, cst.Call) and EXTENDED_OPTIMIZER.match(self.names.canonical(value.func) or "")
            for value in self.names.values(node)
        )

    def is_optimizer(self, node, depth=0):
        """Whether the node is `….optimizer`, or a name of an optimizer."""
        if depth > 5:
            return False
        if isinstance(node, cst.Attribute):
            return node.attr.value == "optimizer"
        return any(
            self.is_optimizer_class(value.func)
            if isinstance(value, cst.Call)
            else self.is_optimizer(value, depth + 1)
            for value in self.names.values(node)
        )

    def optimizer_arguments(self, node, keywords):
        dropped = []
        for keyword, place in keywords.items():
            argument = node.args[place]
            if keyword == "lr" and "learning_rate" not in keywords:
                self.edits.set(argument.keyword, value="learning_rate")
            is_none = keyword == "epsilon" and dotted(argument.value) == "None"
            if is_none or keyword == "decay" and is_zero(argument.value):
                dropped.append(place)
        self.drop(node, dropped)

    def generator_method(self, node, method, keywords):
        new, arguments = GENERATOR_METHODS[method]
        origin = self.names.origin(node.func.value)
        if origin not in ("keras", "unknown"):
            if origin not in ("own", "builtins"):
                self.note(node, "other_object", method, origin, new)
            return
        self.edits.set(node.func.attr, value=new)
        self.name_arguments(node, {place + 1: name for place, name in enumerate(arguments)})
        if "generator" in keywords:
            self.edits.set(node.args[keywords["generator"]].keyword, value="x")
        positional = {
            arguments[place - 1]: place
            for place, argument in enumerate(node.args)
            if place and argument.keyword is None and not argument.star
        }
        self.drop_queue_arguments(node, {**keywords, **positional})

    def name_arguments(self, node, names):
        """Turn positional arguments into keyword arguments: {position: keyword}."""
        for place, argument in enumerate(node.args):
            if argument.star or argument.keyword is not None:
                return
            if place in names:
                equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
                self.edits.set(argument, keyword=cst.Name(names[place]), equal=equal)

    def drop_queue_arguments(self, node, places):
        """Remove the arguments that Keras 3 lacks: {argument: its position}."""
        queue = {name: place for name, place in places.items() if name in QUEUE_ARGUMENTS}
        for name, place in queue.items():
            if self.names.module.code_for_node(node.args[place].value) not in QUEUE_ARGUMENTS[name]:
                self.note(node.args[place], "queue_argument", name)
        self.drop(node, list(queue.values()))

    def drop(self, node, places):
        if places:
            self.edits.change(node, lambda updated: without_arguments(updated, places))

    # Files

    def checkpoint(self, node, keywords):
        place = keywords.get("save_weights_only", 4)
        by_position = place < len(node.args) and (
            "save_weights_only" in keywords or node.args[place].keyword is None
        )
        weights_only = by_position and dotted(node.args[place].value) == "True"
        self.saved(self.weights if weights_only else self.models, node, keywords, 0)
        if "period" in keywords and is_one(node.args[keywords["period"]].value):
            self.drop(node, [keywords["period"]])

    def saved(self, group, node, keywords, place):
        place = keywords.get("filepath", place)
        if place >= len(node.args) or node.args[place].star:
            return
        if node.args[place].keyword is not None and node.args[place].keyword.value != "filepath":
            return
        literal = files.tail(node.args[place].value, self.names)
        if literal is not None and files.text_of(literal):
            group.setdefault(files.same_file(files.text_of(literal)), []).append(literal)

    def visit_SimpleString(self, node):
        self.literals.append(node)

    def visit_FormattedString(self, node):
        if node.parts and isinstance(node.parts[-1], cst.FormattedStringText):
            self.literals.append(node.parts[-1])

    def visit_ConcatenatedString(self, node):
        return False

    def rename_files(self):
        for group, other, ending in (
            (self.weights, self.models, files.weights_ending),
            (self.models, self.weights, files.model_ending),
        ):
            for name, literals in group.items():
                old, new = ending(name)
                if old != new and name not in other:
                    self.rename_file(name, literals, old, new)

    def rename_file(self, name, literals, old, new):
        self.note(literals[0], "renamed_file", name, name[: len(name) - len(old)] + new)
        loaded = self.literals if files.looks_like_a_file(name) else literals
        for literal in dict.fromkeys(list(literals) + list(loaded)):
            text = files.text_of(literal)
            if text and files.same_file(text) == name and text.endswith(old):
                self.edits.change(literal, lambda updated: with_literal(updated, old, new))

    # Changes for the user

    def check_validation_data(self, node):
        owner = self.names.class_around(node)
        if owner is None or not self.names.is_self(node.value) or self.is_assigned_in_class(node):
            return
        if self.names.origin_of_class(owner) == "keras":
            self.find(node, "validation_data", SENTENCES["validation_data"])

    def check_lambda(self, node):
        function = node.args[0].value if node.args else None
        if not isinstance(function, cst.Lambda):
            return
        parameters = {one.name.value for one in function.params.params}
        finder = Uses()
        function.body.visit(finder)
        for name in finder.names:
            if name.value not in parameters and self.is_tensor(name):
                self.find(name, "lambda_closure", SENTENCES["lambda_closure"] % (name.value, name.value))

    def is_tensor(self, node):
        """Whether a name is an input or output of a layer of the model."""
        for value in self.names.values(node):
            if isinstance(value, cst.Call):
                called = value.func.func if isinstance(value.func, cst.Call) else value.func
                name = self.names.canonical(called) or ""
                if isinstance(value.func, cst.Call) and self.names.origin(called) == "keras":
                    return True
                if name in ("keras.Input", "keras.layers.Input", "bert4keras3.layers.Input"):
                    return True
            elif isinstance(value, cst.Attribute) and value.attr.value in ("input", "output"):
                if self.names.origin(value.value) == "keras":
                    return True
        return False

    # After the pass

    def finish(self):
        """Edits that need the whole script: imports to add or remove, and names of files."""
        self.rename_files()
        for place, exported in self.added_imports.items():
            new = import_from("bert4keras3.backend", [(one, one) for one in exported])
            self.edits.append_statement(place, new)
        for node, alias in self.tensorflow_imports:
            self.drop_tensorflow(node, alias)

    def drop_tensorflow(self, node, alias):
        """Remove an import of TensorFlow that was needed for tf.keras only."""
        bound = alias.asname.name.value if alias.asname else "tensorflow"
        uses = Uses()
        self.names.module.visit(uses)
        left = [one for one in uses.names if one.value == bound and one not in self.rewritten_roots]
        if left or not any(one.value == bound for one in uses.names) or len(node.names) > 1:
            return
        statements = self.edits.statements.get(node, [node])
        if len(statements) > 1:
            self.edits.replace_statement(node, statements[1:])
        elif isinstance(self.names.parents[node], cst.SimpleStatementLine):
            self.edits.replace_statement(node, [])


class Uses(cst.CSTVisitor):
    """Collects all names that are used as values."""

    def __init__(self):
        self.names = []

    def visit_Import(self, node):
        return False

    visit_ImportFrom = visit_Import

    def visit_Attribute(self, node):
        node.value.visit(self)
        return False

    def visit_Arg(self, node):
        node.value.visit(self)
        return False

    def visit_Name(self, node):
        self.names.append(node)


def is_zero(node):
    return isinstance(node, (cst.Integer, cst.Float)) and node.evaluated_value == 0


def is_one(node):
    return isinstance(node, cst.Integer) and node.evaluated_value == 1
