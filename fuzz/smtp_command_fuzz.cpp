// Command lines. What is accepted is written in our form and must read back to the same value; what is refused is one whole 5yz reply line.
#include "fuzz.hpp"

#include "smtp/command.hpp"
#include "smtp/xtext.hpp"

namespace posthorn::fuzz {
namespace {

using namespace posthorn::smtp;

void check_refusal(const Reply& reply)
{
    FUZZ_CHECK(reply.permanent());
    const std::string wire = reply.wire();
    FUZZ_CHECK(wire.find_first_of("\r\n") == wire.size() - 2);
}

void check_mailbox(const Mailbox& mailbox, bool strict)
{
    FUZZ_CHECK(mailbox.text().find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
    FUZZ_CHECK(mailbox.domain.empty() || mailbox.literal() ? true : is_valid_hostname(mailbox.domain, true));
    FUZZ_CHECK(!mailbox.literal() || is_valid_literal(mailbox.domain));
    FUZZ_CHECK(mailbox.domain.size() <= 257);
    // Our form needs no leniency, except for what strict mode refuses whatever its form.
    const auto back = parse_path("<" + mailbox.quoted() + ">", {.strict = strict});
    FUZZ_CHECK(back && *back == mailbox);
}

template <class Parse>
void check(std::string_view arguments, const CommandOptions& options, std::size_t verb_length, Parse parse)
{
    const auto parsed = parse(arguments, options);
    if (!parsed)
        return check_refusal(parsed.error());
    for (const bool smtputf8 : {false, true}) {
        const std::string line = write(*parsed, WriteOptions{.smtputf8 = smtputf8});
        FUZZ_CHECK(line.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
        const auto back = parse(std::string_view(line).substr(verb_length), options);
        FUZZ_CHECK(back && *back == *parsed);
    }
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices{input};
    const std::uint8_t bits = choices.octet();
    CommandOptions options{.path = {.strict = (bits & 1) != 0},
                           .dsn = (bits & 2) == 0,
                           .smtputf8 = (bits & 4) == 0,
                           .strict_smtputf8 = (bits & 8) != 0,
                           .binarymime = (bits & 16) != 0,
                           .requiretls = (bits & 32) != 0,
                           .verp = (bits & 64) != 0,
                           .future_release = (bits & 128) != 0};
    const Command command = split_command(input);
    FUZZ_CHECK(inside(command.word, input) && inside(command.arguments, input));
    FUZZ_CHECK((command.verb != nullptr) == (find_verb(command.word) != nullptr));
    (void)looks_like_header(input);

    if (command.verb == nullptr || command.verb->id == VerbId::mail) {
        check(command.arguments, options, 5, [](auto text, auto& with) { return parse_mail(text, with); });
        if (const auto mail = parse_mail(command.arguments, options))
            check_mailbox(mail->reverse_path, options.path.strict);
    }
    if (command.verb == nullptr || command.verb->id == VerbId::rcpt) {
        check(command.arguments, options, 5, [](auto text, auto& with) { return parse_rcpt(text, with); });
        if (const auto rcpt = parse_rcpt(command.arguments, options)) {
            FUZZ_CHECK(!rcpt->forward_path.null());
            check_mailbox(rcpt->forward_path, options.path.strict);
        }
    }
    if (command.verb == nullptr || command.verb->id == VerbId::bdat) {
        if (const auto chunk = parse_bdat(command.arguments))
            FUZZ_CHECK(*parse_bdat(write(*chunk).substr(5)) == *chunk);
    }
    if (const auto name = parse_helo(VerbId::ehlo, command.arguments))
        FUZZ_CHECK(!name->empty() && name->size() <= command.arguments.size());
    else
        check_refusal(name.error());

    // A path and encodings by themselves, without the tokens of a command around them.
    const auto lenient = parse_path(input, options.path);
    const auto limited = parse_path(input, {.strict = options.path.strict, .utf8 = options.path.utf8, .max_length = 40});
    FUZZ_CHECK(!limited || (lenient && limited->text().size() <= 40));
    if (lenient)
        check_mailbox(*lenient, options.path.strict);
    // A space after the bracket means nothing, and leads past the short way for plain addresses.
    if (input.starts_with('<') && input.ends_with('>'))
        FUZZ_CHECK(parse_path(std::string("< ").append(input.substr(1)), options.path) == lenient);
    if (options.path.strict && lenient)  // strict is a subset
        FUZZ_CHECK(parse_path(input).has_value());
    FUZZ_CHECK(*xtext_decode(xtext_encode(input)) == input);
    if (const auto utf8 = utf8_addr_decode(input)) {
        FUZZ_CHECK(*utf8_addr_decode(utf8_addr_xtext_encode(*utf8)) == *utf8);
        FUZZ_CHECK(*utf8_addr_decode(utf8_addr_unitext_encode(*utf8)) == *utf8);
    }
    const Mailbox inner = mailbox_of(input);
    FUZZ_CHECK(inner.domain.empty() ? inner.local.size() + 1 >= input.size() : inner.text() == input);
}

}  // namespace posthorn::fuzz
