"""Campaigns for the tests of pages, and somebody who asks for pages."""

import datetime

from fireworks import Firework, ScriptTask, Workflow

from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.views.web.app import create_app
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers.written_campaigns import Scribe, hashed

SCRIPT = "<script>alert('taken')</script>"
HOSTILE = [
    SCRIPT,
    '"><img src=x onerror="alert(1)">',
    "a/../../etc/passwd",
    "x" * 10_000,
    "\u202egnp.exe\x00\x1b[31m",
    "",
]
LABELS = [hashed(n) for n in range(1, 7)]
POLICY = "default-src 'none'; script-src 'self';"


def make_finished(root):
    """Write a campaign with two halts that has converged."""
    scribe = Scribe(root)
    scribe.begin(LABELS[:2])
    scribe.turn(0, 0, LABELS[2:3], temperature_k=540.0, measured_temperature_k=230.0)
    scribe.turn(0, 1, LABELS[3:5], steps=300)
    scribe.explore(0, 2, steps=600, outcome="finished")
    scribe.end()
    return scribe


def visitor(folders, pad=None, **options):
    """Return a client of a server whose pages always wait for what is to be read."""
    return create_app(folders, pad, timeout_s=None, **options).test_client()


def launchpad_with(scribe):
    """Return a LaunchPad that has the workflow of a campaign."""
    pad = embedded_launchpad()
    pad.add_wf(campaign_workflow(scribe.campaign, scribe.directory.root))
    return pad


def add_hostile(pad):
    """Add workflows whose names and directories a browser or a shell might obey."""
    for name in HOSTILE:
        firework = Firework([ScriptTask.from_str("true")], spec={"_category": name}, name=f"{name}: label {name}")
        pad.add_wf(Workflow([firework], name=name, metadata={"mlip_fw": True, "directory": f"/nowhere/{name}"}))
    now = datetime.datetime.now(datetime.UTC)
    pad.workflows.insert_one({"nodes": [], "name": None, "metadata": {"mlip_fw": True}, "updated_on": now})
