// migrate/answers.hpp: the same questions to both systems, and where their answers differ.
// Addresses  how each is rewritten, expanded and resolved: "transport nexthop recipient", one for each that it becomes. Ours by the rooms that do it in
//            service; Postfix's by its log of `sendmail -bv` in a private copy (sandbox.hpp).
// RCPT       what an SMTP server answers, each client and sender in a session of its own, by XCLIENT. Both in private copies.
// Errors     a copy does not start. Without root or without Postfix there is nobody to compare with: our answers are given alone.
#pragma once

#include "migrate/questions.hpp"
#include "migrate/sandbox.hpp"

#include "base/clock.hpp"

#include <optional>
#include <string>
#include <vector>

namespace posthorn::migrate {

struct Answers {
    std::vector<std::string> resolutions, rcpts;  // in the order of the questions
};
struct Comparison {
    Questions questions;
    Answers ours, theirs;
    std::string alone;  // why Postfix was not asked; empty: it was
    std::size_t differ() const;
};

Result<Comparison> compare_answers(const Survey& survey, Questions questions, const std::string& postfix_root);

struct RouteQuestion {
    std::string sender, recipient;
};
/// Where addresses go, by Posthorn's rooms. What is not asked before `end` has an empty answer.
std::vector<std::string> our_resolutions(const Survey& survey, const std::vector<RouteQuestion>& questions, std::optional<SteadyTime> end = {});
/// The same for mail of somebody from outside.
std::vector<std::string> our_resolutions(const Survey& survey, const std::vector<std::string>& addresses);
/// What the log of a sandbox says about these: by asked address. Pure.
std::vector<std::string> logged_resolutions(std::string_view log, const std::vector<std::string>& addresses);
struct AskingManner {
    std::size_t sessions_at_once = 1;
    std::optional<SteadyTime> end;  // what is not asked before has an empty answer
};
/// The reply to each RCPT; of a line that has no port: that nobody listens.
std::vector<std::string> rcpt_answers(const Ports& ports, const std::vector<RcptQuestion>& questions, AskingManner manner = {});

std::string as_text(const Comparison& comparison);
std::string as_json(const Comparison& comparison);

}  // namespace posthorn::migrate
