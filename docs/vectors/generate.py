"""Writes the vector files, and checks that the files are what would be written."""

import json
import os
import sys

import notes

HERE = os.path.dirname(os.path.abspath(__file__))


def pretty(value, indent=0):
    """JSON with one member a line for what is large, and small things on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if indent >= 6 or len(flat) + indent <= 120 or not isinstance(value, (dict, list)):
        return flat
    pad, end = " " * (indent + 2), " " * indent
    if isinstance(value, dict):
        items = ["%s: %s" % (json.dumps(key), pretty(item, indent + 2)) for key, item in value.items()]
        return "{\n" + ",\n".join(pad + item for item in items) + "\n" + end + "}"
    return "[\n" + ",\n".join(pad + pretty(item, indent + 2) for item in value) + "\n" + end + "]"


def files():
    """File name to content."""
    from cases_body import body_vectors, hash_vectors
    from cases_database import database_vectors
    from cases_export import export_vectors
    from cases_flash import flash_vectors
    from cases_link import link_vectors
    found = {}
    for vector in body_vectors() + hash_vectors() + database_vectors() + export_vectors() + flash_vectors() + link_vectors():
        name = vector["name"] + ".json"
        assert name not in found, name
        found[name] = (pretty(vector) + "\n").encode()
    return found


def published(name):
    """A file of vectors that others published."""
    with open(os.path.join(HERE, "published", name + ".json"), encoding="utf-8") as file:
        return json.load(file)


def present():
    """Names of the vector files there are."""
    return {name for name in os.listdir(HERE) if name.endswith(".json")}


def write():
    """Writes all vectors and deletes stale ones."""
    found = files()
    for name in present() - set(found):
        os.remove(os.path.join(HERE, name))
    for name, content in found.items():
        with open(os.path.join(HERE, name), "wb") as file:
            file.write(content)
    print("%d vectors written" % len(found))
    return 0


def check():
    """Exit code 1 when a file differs from what would be written."""
    found, wrong = files(), []
    for name in sorted(present() | set(found)):
        path = os.path.join(HERE, name)
        content = None
        if os.path.exists(path):
            with open(path, "rb") as file:
                content = file.read()
        if content != found.get(name):
            wrong.append(name)
    notes.check_published(published)
    for name in wrong:
        print("differs: %s" % name, file=sys.stderr)
    print("%d vectors, %d differ" % (len(found), len(wrong)))
    return 1 if wrong else 0
