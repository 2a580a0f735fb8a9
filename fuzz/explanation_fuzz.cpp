// Explanations in reports: whatever a message's header, a site's text and a server's reply are, a report stays what it is: languages and keys are
// bounded, a text is whole or an error, its lines are short, and no line of it is a boundary or more than one line.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "report/explain.hpp"

namespace posthorn::fuzz {

using namespace posthorn::report;

namespace {

std::size_t characters(std::string_view line)
{
    return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::size_t occurrences(std::string_view text, std::string_view piece)
{
    std::size_t count = 0;
    for (std::size_t at = text.find(piece); at != text.npos; at = text.find(piece, at + 1))
        ++count;
    return count;
}

handoff::ReportRequest request_of(std::string_view header, std::string_view reply, bool delayed)
{
    handoff::ReportRequest request;
    request.set_kind(delayed ? handoff::ReportRequest::DELAY : handoff::ReportRequest::FAILURE);
    request.set_header("Subject: x\r\n\r\n");
    request.add_queue_ids("NEW");
    request.mutable_envelope()->set_queue_id("OLD");
    request.mutable_envelope()->set_sender("a@ours.test");
    request.mutable_envelope()->add_recipients()->set_address("u@" + std::string(header.substr(0, 100)));
    handoff::Verdict& verdict = *request.add_verdicts();
    verdict.set_status("5.0.0");
    verdict.set_text("refused");
    verdict.set_diagnostic(std::string(reply));
    verdict.set_remote_mta(std::string(reply.substr(0, reply.size() / 2)));
    request.add_gives_up(0);
    return request;
}

void check_languages(std::string_view header)
{
    const auto languages = explanation_languages("sender, de", header);
    FUZZ_CHECK(!languages.empty() && languages.back().size() <= 35 && languages.size() <= 55);
    for (const std::string& language : languages) {
        FUZZ_CHECK(!language.empty() && language.size() <= 35 && language == to_lower(language) && is_alpha(language.front()));
        FUZZ_CHECK(std::all_of(language.begin(), language.end(), [](char c) { return is_alnum(c) || c == '-'; }));
        FUZZ_CHECK(std::count(languages.begin(), languages.end(), language) == 1);
    }
    const auto keys = explanation_keys({"C", "5.1.1"}, "d", languages);
    FUZZ_CHECK(keys.size() == 6 * (languages.size() + 1));
    FUZZ_CHECK(std::any_of(keys.begin(), keys.end(), [](const std::string& key) { return shipped_explanation(key).has_value(); }));         // *:de
}

void check_paragraph(std::string_view text)
{
    const std::string made = paragraph(text);
    FUZZ_CHECK(made.ends_with("\r\n") && is_valid_utf8(made));
    std::string_view rest = made;
    while (!rest.empty()) {
        const std::size_t end = rest.find("\r\n");
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end + 2);
        FUZZ_CHECK(line.size() <= 998 && !line.starts_with("--") && line.find_first_of("\r\n") == line.npos);
        FUZZ_CHECK(characters(line) <= 79 || trim(line).find(' ') == line.npos);
    }
    // Nothing is left out, and nothing is put in but spaces.
    const auto all_of = [](std::string_view words) {
        std::string all;
        for (const std::string_view word : split(words, " \t\r\n\v\f"))
            all += word;
        return all;
    };
    FUZZ_CHECK(all_of(made) == all_of(text));
}

}  // namespace

void fuzz_one(std::string_view input)
{
    // Header, text and reply, between NULs.
    const auto next = [&] {
        const std::string_view piece = input.substr(0, input.find('\0'));
        input.remove_prefix(std::min(input.size(), piece.size() + 1));
        return piece;
    };
    const std::string_view header = next(), text = next(), reply = input;
    check_languages(header);
    Options options;
    options.myhostname = "mail.ours.test";
    options.myorigin = "ours.test";
    options.parameter = [](std::string_view name) -> std::optional<std::string> {
        if (name == "delay_warning_time" || name == "maximal_queue_lifetime")
            return "432000";
        return name == "myhostname" ? std::optional<std::string>("mail.ours.test") : std::nullopt;
    };
    (void)parse_templates(text, "file");
    for (const bool delayed : {false, true}) {
        const handoff::ReportRequest request = request_of(header, reply, delayed);
        const auto expanded = expand_explanation(text, request, 0, options);
        const auto fault = fault_of_explanation(delayed ? "delay:C" : "C", text, options.parameter);
        FUZZ_CHECK(expanded || fault);          // what can be wrong with it is known before
        if (!expanded) {
            FUZZ_CHECK(!expanded.error().text().empty());
            continue;
        }
        FUZZ_CHECK(is_valid_utf8(*expanded));
        const std::string value = expand_explanation("${reply}", request, 0, options).value();
        FUZZ_CHECK(value.find_first_of("\r\n") == value.npos && characters(value) <= 403);
        check_paragraph(*expanded);
        const auto reply_made = compose(request, options, {*expanded});
        FUZZ_CHECK(reply_made.messages_size() == 1);
        const std::string& octets = reply_made.messages(0).content().inline_octets();
        FUZZ_CHECK(occurrences(octets, "\r\n--OLD.0/mail.ours.test") == 4);
    }
}

}  // namespace posthorn::fuzz
