// The SMTP and LMTP client before a server made of the input: what must hold whatever a peer does. send/any_server_test.hpp says how it is read.
#include "fuzz.hpp"

#include "send/any_server_test.hpp"

namespace posthorn::fuzz {

void fuzz_one(std::string_view input)
{
    const auto broken = send::run_any_server(input);
    if (broken)
        std::fprintf(stderr, "%s\n", broken->c_str());
    FUZZ_CHECK(!broken);
}

}  // namespace posthorn::fuzz
