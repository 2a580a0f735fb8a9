// sim/peer_main.hpp: `posthorn peer NAME --port N`: one peer on TCP, its transcript on standard output.
#pragma once

namespace posthorn::sim {

/// argv[0] is the command's name. Returns a sysexits code: 64 usage, 69 the port cannot be had.
///   peer --list                 names, products, what a correct client gets
///   peer NAME [--port N] [--address A] [--sessions N] [--script FILE] [--quiet]
int peer_main(int argc, char** argv);

}  // namespace posthorn::sim
