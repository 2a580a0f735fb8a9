// report/explain.hpp: why mail failed and what its sender can do, in plain words: which text, in which language, and how it stands in a report.
// Keys     of a text, the most precise first: "there.test:QuotaIssues/3.4:de", that without ":de"; then without "/3.4"; "there.test:*:de";
//          then all of them without the domain. 3.4 are subject and detail of the status (RFC 3463); * is any class. Delay warnings have
//          "delay:" before each.
// Language as BCP 47 has it, in lower case; a tag that is longer falls back to its beginning (RFC 4647 3.4): de-at, de.
// Trust    none in what fills a text: replies and addresses are one line, without what turns or ends a line, and of a bounded length.
#pragma once

#include "report/compose.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::report {

/// RFC 5646: of its form alone.
bool is_language_tag(std::string_view text);
/// bounce_explanation_languages, in the order in which texts are looked for: "sender" is what the message's Content-Language says, else its
/// Accept-Language (RFC 3282). English, where the list names no language.
std::vector<std::string> explanation_languages(std::string_view list, std::string_view header);

struct Cause {
    std::string classification;          // "QuotaIssues"
    std::string_view status;             // "5.2.2"
    bool delayed = false;
};
std::vector<std::string> explanation_keys(const Cause& cause, std::string_view domain, const std::vector<std::string>& languages);

/// conf/bounce_explanations, compiled in.
std::optional<std::string_view> shipped_explanation(std::string_view key);
/// A table that says this, or nothing, says that there is no text.
inline constexpr std::string_view no_explanation = "-";

/// The text for one recipient; an Error names what is wrong with it.
Result<std::string> expand_explanation(std::string_view text, const handoff::ReportRequest& request, std::size_t verdict, const Options& options);
/// What would be wrong with a text of this key, whoever it is for.
std::optional<std::string> fault_of_explanation(std::string_view key, std::string_view text,
                                                const std::function<std::optional<std::string>(std::string_view)>& parameter);

/// One paragraph, CRLF line ends, lines of at most 79 characters of UTF-8. A longer word stays whole, as far as a line of SMTP may be long; no line
/// begins as a boundary does.
std::string paragraph(std::string_view text);

}  // namespace posthorn::report
