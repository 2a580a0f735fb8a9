// A gzip or zip file by a stranger. What comes out is within its bound, the same whatever the bound is above it, and what we pack comes out again.
#include "fuzz.hpp"

#include "aggregate/report.hpp"
#include "heard/unpack.hpp"

namespace posthorn::fuzz {

void fuzz_one(std::string_view input)
{
    constexpr std::size_t most = 65'536, little = 100;
    for (const bool zip : {false, true}) {
        const auto unpack = zip ? heard::unpack_zip : heard::unpack_gzip;
        const auto all = unpack(input, most), part = unpack(input, little);
        FUZZ_CHECK(!all || all->size() <= most);
        FUZZ_CHECK(!part || (part->size() <= little && all && *all == *part));
        FUZZ_CHECK(!all || all->size() > little || part);
    }
    if (!input.empty() && input.size() <= most) {
        const std::string packed = aggregate::gzip(input);
        const auto again = heard::unpack_gzip(packed, input.size());
        FUZZ_CHECK(again && *again == input);
        FUZZ_CHECK(!heard::unpack_gzip(packed, input.size() - 1));
        FUZZ_CHECK(!heard::unpack_gzip(std::string_view(packed).substr(0, packed.size() - 1), input.size()));
    }
}

}  // namespace posthorn::fuzz
