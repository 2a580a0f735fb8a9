// What table servers answer. The length of the first answer does not depend on how much of it, or of what follows, has come; it stays within what
// may come; it is read to its end and says what was put into it. Where there is none, the reason is said.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "tables/key_value.hpp"
#include "tables/sockets.hpp"

#include <fmt/format.h>

namespace posthorn::fuzz {

using namespace posthorn::tables;

namespace {

constexpr std::size_t most = 300, most_line = 80;

/// `frame`: octets beyond those of the value that its answer has at most.
template <class Measure, class Read>
void check(std::string_view input, std::size_t frame, Measure measure, Read read)
{
    (void)read(input);                                              // whatever it is
    const Result<std::size_t> whole = measure(input);
    if (!whole) {
        FUZZ_CHECK(!whole.error().what().empty());
        return;
    }
    FUZZ_CHECK(*whole <= input.size());
    if (*whole == 0) {
        FUZZ_CHECK(input.size() <= most + frame);                   // what never ends is refused
        return;
    }
    for (std::size_t size = 0; size < *whole; ++size) {
        const Result<std::size_t> part = measure(input.substr(0, size));
        FUZZ_CHECK(part && *part == 0);
    }
    FUZZ_CHECK(measure(input.substr(0, *whole)).value() == *whole);
    const Answer answer = read(input.substr(0, *whole));
    if (answer && *answer)
        FUZZ_CHECK((*answer)->size() <= *whole);
    if (!answer)
        FUZZ_CHECK(!answer.error().what().empty() && std::ranges::none_of(answer.error().what(), [](char c) { return c == '\n' || c == '\r'; }));
}

template <class Measure, class Read>
void check_said(const std::string& said, std::string_view value, Measure measure, Read read)
{
    const Result<std::size_t> whole = measure(said + "200 x\r\n");
    FUZZ_CHECK(whole && *whole == said.size());
    const Answer answer = read(said);
    FUZZ_CHECK(answer && *answer && **answer == value);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    const auto netstring = [](std::string_view octets) { return measure_netstring(octets, most); };
    const auto memcache = [](std::string_view octets) { return measure_memcache(octets, most, most_line); };
    const auto redis = [](std::string_view octets) { return measure_redis(octets, most); };
    check(input, 12, netstring, socketmap_answer);
    check(input, input.size(), memcache, memcache_answer);          // its line is bounded by itself
    check(input, input.size(), redis, redis_answer);
    if (const Answer answer = tcp_answer(input); !answer)
        FUZZ_CHECK(!answer.error().what().empty());

    const std::string_view value = input.substr(0, most - 3);
    check_said(fmt::format("{}:OK {},", value.size() + 3, value), value, netstring, socketmap_answer);
    check_said(fmt::format("VALUE k 0 {}\r\n{}\r\nEND\r\n", value.size(), value), value, memcache, memcache_answer);
    check_said(fmt::format("${}\r\n{}\r\n", value.size(), value), value, redis, redis_answer);
    std::string encoded;
    for (const char octet : value)
        encoded += fmt::format("%{:02X}", static_cast<unsigned char>(octet));
    if (!value.empty()) {
        const Answer answer = tcp_answer("200 " + encoded + "\n");
        FUZZ_CHECK(answer && *answer && **answer == value);
    }
    FUZZ_CHECK(tcp_answer("500 " + encoded + "\n").value() == std::nullopt);
    FUZZ_CHECK(!tcp_answer("400 " + encoded + "\n"));
}

}  // namespace posthorn::fuzz
