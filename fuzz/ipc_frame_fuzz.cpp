// Frames of another process, which may have been taken over: the header's limits hold before anything is kept, no view leaves the input,
// what is accepted is written back to the same octets, and cutting the input anywhere only delays the same frames.
#include "fuzz.hpp"

#include <vector>

#include "ipc/frame.hpp"

namespace posthorn::fuzz {

using namespace posthorn::ipc;

void fuzz_one(std::string_view input)
{
    Choices choices{input};
    const std::size_t limit = choices.flag() ? 64 : 1 << 16;
    std::string_view rest = input;
    std::size_t taken = 0;
    for (;;) {
        const auto frame = next_frame(rest, limit);
        if (!frame) {
            FUZZ_CHECK(!frame.error().what().empty());
            // An error is for good: more octets do not heal it.
            FUZZ_CHECK(!next_frame(std::string(rest) + "more", limit));
            return;
        }
        if (!*frame) {
            FUZZ_CHECK(rest.size() < frame_header_size + limit);
            return;
        }
        const auto& [header, payload] = **frame;
        FUZZ_CHECK(payload.size() == header.length && header.length <= limit);
        FUZZ_CHECK(inside(payload, rest) && payload.data() == rest.data() + frame_header_size);
        FUZZ_CHECK((header.type == FrameType::notice) == (header.id == 0));
        FUZZ_CHECK(header.descriptors <= descriptors_per_frame);
        char written[frame_header_size];
        encode_header(header, written);
        FUZZ_CHECK(std::string_view(written, frame_header_size) == rest.substr(0, frame_header_size));
        // Whatever is missing at its end, it is not whole yet.
        const std::size_t whole = frame_header_size + payload.size();
        for (const std::size_t cut : {std::size_t{0}, frame_header_size - 1, frame_header_size, whole - 1}) {
            if (cut >= whole)
                continue;
            const auto early = next_frame(rest.substr(0, cut), limit);
            FUZZ_CHECK(early && !*early);
        }
        rest.remove_prefix(whole);
        taken += whole;
        FUZZ_CHECK(taken + rest.size() == input.size());
    }
}

}  // namespace posthorn::fuzz
