"""`perception classes`: class maps of one's own."""

from cyclopts import App

from perception.cli.terminal import FINE, AsJson, say, show_notice

classes_app = App(name="classes", help="Write a class map of your own.")


@classes_app.command(name="new")
def classes_new(detector: str, *, names: str = "", as_json: AsJson = False) -> int:
    """Print a class map for a detector's names, to be changed and given to `label --class-map`.

    perception classes new mine.onnx > map.yaml
    perception classes new mine.pt --names classes.txt > map.yaml

    Args:
        detector: Weights, or a name that `perception weights list` has; nothing of it is loaded.
        names: File with the names of its classes, where the weights do not state them.
        as_json: Print one JSON object for programs.
    """
    from perception.commands.classes import template

    text = template(detector, names, show_notice(as_json))
    say({"class_map": text}, as_json, text.splitlines())
    return FINE
