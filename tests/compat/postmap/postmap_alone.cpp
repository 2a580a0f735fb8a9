// postmap as an executable of its own, so that its comparison with Postfix's needs none of the other commands.
#include "tools/postmap.hpp"

int main(int argc, char** argv)
{
    return posthorn::tools::postmap({argv, static_cast<std::size_t>(argc)});
}
