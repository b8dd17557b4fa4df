# workerd with the production Worker: `workerd serve config.capnp` in a folder that has worker.js, test/emulator.py starts it.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "emulator", external = (address = "127.0.0.1:1", http = ())),
    (name = "storage", disk = (path = "/nonexistent", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);

const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-11-17",
  durableObjectNamespaces = [
    (className = "Sandbox", uniqueKey = "sandbox", enableSql = true),
    (className = "Desk", uniqueKey = "desk", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "storage"),
  bindings = [
    (name = "Sandbox", durableObjectNamespace = "Sandbox"),
    (name = "Desk", durableObjectNamespace = "Desk"),
    (name = "EMULATOR", service = "emulator"),
    (name = "DISPATCH_TOKEN", fromEnvironment = "DISPATCH_TOKEN"),
    (name = "LEASE_LEAST_S", text = "1"),
  ],
);
