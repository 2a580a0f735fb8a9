// postconf as an executable of its own, so that its comparison with Postfix's needs none of the other commands.
#include "tools/postconf.hpp"

int main(int argc, char** argv) { return posthorn::tools::postconf({argv, static_cast<std::size_t>(argc)}); }
