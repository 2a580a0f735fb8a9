#include "catalogue/catalogue.hpp"
#include "supervisor/master.hpp"

int main(int argc, char** argv) { return posthorn::supervisor::master_main(argc, argv, posthorn::catalogue::all_parameters()); }
