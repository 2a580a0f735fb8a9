// retry_schedule_maps: the words of an entry. They are read whole or not at all; a time that was read keeps its bounds and moves no other; more
// words are read as both one behind the other.
#include "fuzz.hpp"

#include "schedule/retry.hpp"

namespace posthorn::fuzz {

using schedule::RetryOptions;
using std::chrono::seconds;

void fuzz_one(std::string_view input)
{
    constexpr seconds longest{8'640'000};
    const RetryOptions general;
    const auto read = schedule::amended(general, input);
    if (!read) {
        FUZZ_CHECK(!read.error().text().empty());
        return;
    }
    for (const auto member : {&RetryOptions::minimal_backoff, &RetryOptions::maximal_backoff, &RetryOptions::maximal_lifetime,
                              &RetryOptions::bounce_lifetime, &RetryOptions::delay_warning})
        FUZZ_CHECK((*read).*member >= seconds{0} && (*read).*member <= longest);
    FUZZ_CHECK(read->minimal_backoff.count() > 0 && read->maximal_backoff.count() > 0);
    // What it says, it says of whatever was there before, and once as twice.
    const auto again = schedule::amended(*read, input);
    FUZZ_CHECK(again && *again == *read);
    const auto twice = schedule::amended(general, std::string(input) + "," + std::string(input));
    FUZZ_CHECK(twice && *twice == *read);
    const WallTime arrival{}, now = arrival + seconds{3600};
    const WallTime next = schedule::next_try(*read, arrival, now);
    FUZZ_CHECK(next > now && next <= now + longest);
    FUZZ_CHECK(schedule::expired(*read, arrival, false, arrival + read->maximal_lifetime));
    const bool warns = read->delay_warning > seconds{0};
    FUZZ_CHECK(schedule::delay_warning_due(*read, arrival, false, false, arrival + read->delay_warning) == warns);
    FUZZ_CHECK(!schedule::delay_warning_due(*read, arrival, true, false, arrival + longest) &&
               !schedule::delay_warning_due(*read, arrival, false, true, arrival + longest));
}

}  // namespace posthorn::fuzz
