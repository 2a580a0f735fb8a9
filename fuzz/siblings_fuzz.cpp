// What another machine's memory says, in any octets: what is heard of it is whole frames of whole words, each printable and within its
// bounds, and says the same when it is said once more.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "siblings/frames.hpp"
#include "siblings/words.hpp"

#include <algorithm>

namespace posthorn::fuzz {

using namespace posthorn::siblings;

namespace {

void check(const Words& words)
{
    Said again;
    for (const peers::Word& word : words.peers) {
        FUZZ_CHECK(!word.peer.address.empty() && printable(word.peer.site, true) == word.peer.site);
        FUZZ_CHECK(word.faults.size() <= peers::quirk_count && word.taken_back.size() <= peers::quirk_count);
        add(again, word);
        const WallTime now{std::chrono::seconds{1'795'226'081}};
        const auto heard = peers::hear({}, word, "mx2", {}, now);
        FUZZ_CHECK(!peers::word_of(heard.record, now));
        for (const peers::Mark& mark : heard.record.marks) {
            FUZZ_CHECK(peers::class_of(mark.quirk) != peers::QuirkClass::security);
            FUZZ_CHECK(mark.until <= now + peers::quirk_lifetime && mark.last <= now && mark.told_by == "mx2");
        }
        FUZZ_CHECK(heard.record.told_limits.until <= now + peers::quirk_lifetime && heard.record.limits == peers::Limits{});
    }
    for (const peers::WayWord& word : words.ways)
        add(again, word);
    for (const verify::Told& word : words.addresses) {
        FUZZ_CHECK(word.key.find(':') == std::string::npos && word.text.size() <= verify::text_limit);
        add(again, word);
    }
    for (const Asked& asked : words.asking)
        add(again, asked);
    const auto heard = words_of(again);
    FUZZ_CHECK(heard && *heard == words);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Frames whole, pieces;
    whole.feed(input);
    std::size_t count = 0, counted = 0;
    while (const auto frame = whole.next()) {
        ++count;
        if (!*frame)
            continue;
        if (const auto words = words_of(**frame))
            check(*words);
        else
            FUZZ_CHECK(!words.error().what().empty());
    }
    for (std::size_t at = 0; at < input.size(); at += 7) {
        pieces.feed(input.substr(at, 7));
        while (pieces.next())
            ++counted;
    }
    FUZZ_CHECK(count == counted);
}

}  // namespace posthorn::fuzz
