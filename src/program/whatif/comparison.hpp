// whatif/comparison.hpp: both configurations answer what the log has, and what differs.
// RCPT     the reply of a private copy of each (migrate/sandbox.hpp), through the line of master.cf whose tag stands in the log: client, HELO and login as they
//          were.
// Ways     of mail that both take, and of local mail: transport, next hop, recipient (migrate/answers.hpp).
// Twice    is asked what both answer differently: a name in the DNS that was slow once is no difference.
// Limits   questions, and time for each configuration and round; what is left out is counted.
// Errors   a copy does not start.
#pragma once

#include "config/master_cf.hpp"
#include "migrate/survey.hpp"
#include "whatif/mail_log.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::whatif {

struct Limits {
    std::size_t questions = 5000;
    std::chrono::minutes round{10};
};

struct Answered {
    LogQuestion question;
    std::string service;  // the line of master.cf that had the session; of local mail there is none
    std::string reply_now, reply_then, way_now, way_then;  // empty: not asked
};

struct Comparison {
    std::vector<Answered> answers;
    std::map<std::string, std::uint64_t> not_asked;  // by reason, how often
    std::uint64_t times() const;  // how often the log has what was asked
};

Result<Comparison> compare(const migrate::Survey& now, const migrate::Survey& next, LogQuestions questions, Limits limits);

/// Answers of one kind, with their own words in general.
struct Group {
    enum class Kind { refused, let_in, other_way, other_words };
    Kind kind = Kind::refused;
    std::string before, after;
    std::uint64_t times = 0;
    std::size_t questions = 0;
    std::vector<const Answered*> samples;  // of the comparison; the most frequent first
};
inline constexpr std::size_t most_samples = 5;
std::string_view to_text(Group::Kind kind);

/// What differs between the configurations: who is refused first, then by how often. Pure.
std::vector<Group> differences(const Comparison& comparison);
/// Where the configuration in force does not answer as the log has it. `before` is the log's. Pure.
std::vector<Group> otherwise_than_logged(const Comparison& comparison);

/// An answer without what is the question's own: RECIPIENT, SENDER, CLIENT, ADDRESS, NAME, HELO, LOGIN, and DOMAIN of the recipient. Pure.
std::string in_general(std::string_view answer, const LogQuestion& question);

/// Which line of master.cf writes this tag: its name. Pure.
std::map<std::string, std::string> services_by_tag(const migrate::Survey& survey, const config::MasterCf& master_cf);

}  // namespace posthorn::whatif
