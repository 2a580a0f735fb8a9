#include "executables/parameter_lists.hpp"
#include "supervisor/master.hpp"

int main(int argc, char** argv)
{
    return posthorn::supervisor::master_main(argc, argv, posthorn::executables::all_parameters());
}
