"""The CDK app, and the same system on one machine."""

import os

# jsii otherwise prints two screens of warning at every synth; it still says so of releases older than this.
os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = "20"
