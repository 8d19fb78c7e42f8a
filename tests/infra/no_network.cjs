// Loaded into the CDK's process by conftest.py: whoever connects there fails.
const net = require("node:net");
const dns = require("node:dns");

const refuse = (what) => () => {
  throw new Error(`synth wants the network: ${what}`);
};
net.Socket.prototype.connect = refuse("connect");
dns.lookup = refuse("lookup");
