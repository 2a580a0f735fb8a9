// What libFuzzer calls.
#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    posthorn::fuzz::fuzz_one(std::string_view(reinterpret_cast<const char*>(data), size));
    return 0;
}
