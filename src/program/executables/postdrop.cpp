#include "commands/command.hpp"

int main(int argc, char** argv)
{
    posthorn::commands::open_standard_descriptors();
    return posthorn::commands::postdrop(std::span<char*>(argv, static_cast<std::size_t>(argc)));
}
