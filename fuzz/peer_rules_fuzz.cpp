// smtp_peer_rules. A file is taken whole or not at all; its errors name file and line; words that were read are written and read again the
// same; a rule never says more than its words, whatever the greeting.
#include "fuzz.hpp"

#include "peers/rules.hpp"

namespace posthorn::fuzz {

using namespace posthorn::peers;

void fuzz_one(std::string_view input)
{
    const auto cut = input.find('\0');
    const std::string_view text = input.substr(0, cut);
    const std::string_view greeting = cut == input.npos ? std::string_view("220 host ESMTP") : input.substr(cut + 1);

    if (const auto words = parse_rule_words(text)) {
        const auto again = Quirks::parse(words->quirks.text());
        FUZZ_CHECK(again && *again == words->quirks);
        FUZZ_CHECK(!words->quirks.contains(words->not_quirks) || words->not_quirks.empty());
        Limits limits;
        words->apply(limits);
        FUZZ_CHECK(limits == words->limits);
    } else
        FUZZ_CHECK(!words.error().what().empty());

    // Words for replies are for replies, those for hosts for hosts; what they say stays within its bounds.
    for (const Place place : {Place::host, Place::greeting, Place::ehlo, Place::reply}) {
        const auto words = parse_rule_words(text, place);
        if (!words)
            continue;
        FUZZ_CHECK(place == Place::reply || words->advice == Advice{});
        FUZZ_CHECK(place == Place::host || words->profile == Profile{});
        FUZZ_CHECK(place != Place::reply || (words->quirks.empty() && words->not_quirks.empty() && words->limits == Limits{}));
        FUZZ_CHECK(words->advice.suspend <= std::chrono::days(7) && words->advice.wait <= std::chrono::days(1));
        FUZZ_CHECK(words->profile.interval <= std::chrono::hours(1) && words->profile.site.size() <= 64);
    }
    if (const auto time = time_named(greeting))
        FUZZ_CHECK(time->count() > 0 && *time <= std::chrono::days(1));

    Rules rules;
    const auto added = rules.add(text, "rules");
    if (!added) {
        FUZZ_CHECK(rules.size() == 0);
        FUZZ_CHECK(added.error().what().starts_with("rules"));
        return;
    }
    FUZZ_CHECK(rules.size() <= 1000);
    const RuleWords greeted = rules.words_for({{}, std::string(greeting), {}});
    if (rules.size() == 0)
        FUZZ_CHECK(greeted.empty());
    // The same file again behind itself changes nothing: the first match counts.
    if (rules.size() <= 500) {
        FUZZ_CHECK(rules.add(text, "rules").has_value());
        FUZZ_CHECK(rules.words_for({{}, std::string(greeting), {}}) == greeted);
    }
    const RuleWords all = rules.words_for({{}, std::string(greeting), std::string(greeting), std::string(greeting)});
    FUZZ_CHECK(all.advice == Advice{});
    const Advice advice = rules.advice_for(greeting, "big");
    FUZZ_CHECK(!advice.later() || rules.size() != 0);
    (void)rules.profile_for(greeting, greeting);
}

}  // namespace posthorn::fuzz
