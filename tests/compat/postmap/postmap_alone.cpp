// postmap, and postalias by that name, as an executable of its own: the comparison with Postfix's needs none of the other commands.
#include "tools/postmap.hpp"

#include <string_view>

int main(int argc, char** argv)
{
    const std::span<char*> args{argv, static_cast<std::size_t>(argc)};
    return std::string_view(argv[0]).ends_with("postalias") ? posthorn::tools::postalias(args) : posthorn::tools::postmap(args);
}
