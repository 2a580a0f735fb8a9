// tester/report.hpp: an examination for eyes, for programs, and for the postmaster of the server. Pure.
#pragma once

#include "tester/rules.hpp"

namespace posthorn::tester {

/// One line per rule; then, for each that is broken, transcript and workaround. `all`: transcripts of the others as well.
std::string as_text(const Examination& examination, const Question& question, bool all);
std::string as_json(const Examination& examination, const Question& question);
/// A mail to the server's postmaster; empty where nothing is broken.
std::string bug_report(const Examination& examination, const Question& question);
/// "S: ...", "C: ...", and which of our lines travelled in one segment.
std::string as_text(const Transcript& transcript, std::string_view indent);

}  // namespace posthorn::tester
