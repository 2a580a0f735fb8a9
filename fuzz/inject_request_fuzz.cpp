// A request to inject mail. Whatever comes in is a request or an error that says what is wrong; of a request nothing that is put into a command or a header
// field ends a line, addresses are such as commands have, and the message of each recipient, where there is one, is in stored form with a header of ASCII
// fields that no value could add to.
#include "fuzz.hpp"

#include "inject/compose.hpp"
#include "message/header.hpp"
#include "smtp/path.hpp"

#include <algorithm>

namespace posthorn::fuzz {

using namespace posthorn::inject;

namespace {

bool ends_line(std::string_view text)
{
    return std::ranges::any_of(text, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

void check_person(const std::optional<Person>& person)
{
    if (person)
        FUZZ_CHECK(!ends_line(person->name) && !ends_line(person->mailbox.quoted()) && !person->mailbox.domain.empty());
}

void check_built(const Built& built)
{
    FUZZ_CHECK(built.text || built.html);
    check_person(built.from);
    check_person(built.reply_to);
    FUZZ_CHECK(!built.subject || !ends_line(*built.subject));
    for (const auto& [name, value] : built.headers)
        FUZZ_CHECK(!name.empty() && name.find(':') == name.npos && !ends_line(name) && !ends_line(value));
    for (const Attachment& attachment : built.attachments)
        FUZZ_CHECK(!ends_line(attachment.content_type) && !ends_line(attachment.content_id) && !ends_line(attachment.file_name));
}

void check_message(std::string_view message, std::size_t fields)
{
    FUZZ_CHECK(message.empty() || message.ends_with("\r\n"));
    for (auto at = message.find('\n'); at != message.npos; at = message.find('\n', at + 1))
        FUZZ_CHECK(at > 0 && message[at - 1] == '\r');
    if (fields == 0)  // the header is the sender's own
        return;
    message::HeaderWalk walk(message);
    std::size_t found = 0;
    while (walk.next())
        ++found;
    FUZZ_CHECK(found <= fields);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    auto request = parse_request(input);
    if (!request) {
        FUZZ_CHECK(!request.error().what().empty());
        return;
    }
    FUZZ_CHECK(!ends_line(request->sender.quoted()) && !ends_line(request->reference_field));
    std::size_t fields = 0;
    if (const auto* const built = std::get_if<Built>(&request->content)) {
        check_built(*built);
        fields = built->headers.size() + 3 + 1 + 4 + 1;  // theirs; from, reply_to, subject; To; MIME's; the reference
    }
    const auto composer = Composer::make(*request, {.octets = 1 << 16, .steps = 10'000});
    if (!composer) {
        FUZZ_CHECK(composer.error().what().starts_with("content"));
        return;
    }
    for (const Recipient& recipient : request->recipients) {
        if (!recipient.mailbox)
            continue;
        FUZZ_CHECK(!ends_line(recipient.mailbox->quoted()) && recipient.mailbox->quoted().find('>') == std::string::npos);
        if (const auto message = composer->compose(recipient))
            check_message(*message, fields);
    }
}

}  // namespace posthorn::fuzz
