// peers/rules.hpp: smtp_peer_rules, what is known of products by their greeting and EHLO reply.          conf/peer_rules says how it is written
// Shape    logical lines, as in main.cf: [host|domain|greeting|ehlo|reply[@SITE]] [!]/pattern/flags words. The first line of each place that
//          matches counts; files in the order of the parameter, so that what the administrator writes stands before what is shipped.
// Subject  host: its name in lower case; domain: the next hop's, in lower case and A-labels. Else lines joined by LF with their codes:
//          "220 host ESMTP", "250-host Hello\n250-PIPELINING\n250 CHUNKING"; reply: any of 400 and above. Perl expressions, no case.
// Site     reply@NAME: only of servers that a line for hosts or domains calls site=NAME.
// Words    a quirk; !quirk: not even where it was learned; bdat-first, early; mails-per-session=N, recipients-per-mail=N,
//          errors-per-session=N, sessions=N; none. Never a security quirk but `no-early` and `no-tls`, which an administrator may want.
//          host and domain besides: site=NAME, rate=N/s (m, h), connects=N/s. reply only: slower, fewer-sessions, temporary, greylist,
//          greylist=TIME, suspend=TIME.
// Order    where host, greeting, EHLO reply and domain say different things, the later one counts: who names a domain means that one.
// Limits   1000 rules, 64 KiB a file, 2000 octets a pattern; a match that takes too many steps counts as no match.
// Errors   "peer_rules, line 3: unknown word 'quit'": nothing of the file is taken.
#pragma once

#include "base/error.hpp"
#include "peers/known.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::peers {

inline constexpr std::size_t rule_file_octets = 64 * 1024;

/// What a pattern looks at.
enum class Place : std::uint8_t { host, domain, greeting, ehlo, reply };

/// What a rule says.
struct RuleWords {
    Quirks quirks, not_quirks;
    Limits limits;  // 0: not said
    std::optional<bool> bdat_first, early;
    Profile profile;  // of a host or a domain; its sessions are those of `limits`
    Advice advice;  // of a reply

    bool empty() const;
    void merge(const RuleWords& other);
    void apply(Limits& limits) const;
    bool operator==(const RuleWords&) const = default;
};
/// The text behind a pattern. The Error names the word.
Result<RuleWords> parse_rule_words(std::string_view text, Place place = Place::greeting);
/// "Greylisted, try again in 00:05:00", "for 300 seconds": the time a text names, up to a day. None: it names none.
std::optional<std::chrono::seconds> time_named(std::string_view text);

class Rules {
public:
    Rules();
    ~Rules();
    Rules(Rules&&) noexcept;
    Rules& operator=(Rules&&) noexcept;

    /// `name` stands in errors. Rules of a second file follow those of the first.
    Result<void> add(std::string_view text, std::string_view name);
    RuleWords words_for(const Meeting& meeting) const;
    /// Of the first host of a next hop, and of that next hop's domain; empty: not known.
    Profile profile_for(std::string_view host, std::string_view domain) const;
    /// `site`: what a line calls the site of who said it; empty: nothing.
    Advice advice_for(std::string_view reply, std::string_view site) const;
    std::size_t size() const;

private:
    struct Rule;
    const Rule* first_match(Place place, std::string_view subject, std::string_view site = {}) const;
    std::vector<Rule> rules_;
};

}  // namespace posthorn::peers
