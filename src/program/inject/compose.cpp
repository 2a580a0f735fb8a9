#include "inject/compose.hpp"

#include "base/strings.hpp"
#include "message/address_list.hpp"
#include "message/compose.hpp"
#include "message/edits.hpp"
#include "message/encoded_word.hpp"
#include "message/header.hpp"
#include "message/to_7bit.hpp"
#include "smtp/data.hpp"
#include "tls/digest.hpp"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <tuple>

namespace posthorn::inject {

namespace json = boost::json;

namespace {

constexpr std::size_t longest_line = 900;                      // less than RFC 5322's 998: others may still add to it
constexpr std::size_t base64_octets = 57;                      // of a line with 76 characters
constexpr std::size_t parameter_room = 56;

std::string with_crlf(std::string_view text)
{
    std::string out;
    out.reserve(text.size() + text.size() / 32);
    smtp::LineEnds().feed(text, out);
    return out;
}

std::string base64_lines(std::string_view octets)
{
    std::string out;
    out.reserve(octets.size() / base64_octets * 78 + 80);
    for (std::size_t at = 0; at < octets.size(); at += base64_octets) {
        out += at == 0 ? "" : "\r\n";
        out += base64_encode(octets.substr(at, base64_octets));
    }
    return out;
}

/// Lines of ASCII, none too long, without control characters: nothing on the way has to change it.
bool goes_plain(std::string_view text)
{
    return is_ascii(text) && !smtp::LongLines(longest_line).feed(text) &&
           std::ranges::none_of(text, [](char c) { return (c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7f; });
}

std::string text_part(std::string_view subtype, std::string_view rendered)
{
    const std::string text = with_crlf(rendered);
    const auto part = [&](std::string_view encoding, std::string_view body) {
        return fmt::format("Content-Type: text/{}; charset={}\r\nContent-Transfer-Encoding: {}\r\n\r\n{}", subtype,
                           encoding == "7bit" ? "us-ascii" : "utf-8", encoding, body);
    };
    if (goes_plain(text))
        return part("7bit", text);
    const auto beyond = std::ranges::count_if(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
    if (static_cast<std::size_t>(beyond) > text.size() / 3)
        return part("base64", base64_lines(text));
    std::string quoted;
    message::append_quoted_printable(text, quoted);
    return part("quoted-printable", quoted);
}

/// A message within a message must not be encoded (RFC 2046 5.2.1).
Result<std::string> attachment_part(const Attachment& attachment, std::string_view place)
{
    std::string type = attachment.content_type;
    if (istarts_with(type, "text/") && to_lower(type).find("charset") == type.npos && is_valid_utf8(attachment.octets))
        type += "; charset=utf-8";
    std::string head = message::field("Content-Type", type);
    std::string body;
    if (istarts_with(type, "message/")) {
        body = with_crlf(attachment.octets);
        if (smtp::LongLines(998).feed(body) || body.find('\0') != body.npos)
            return Error{fmt::format("{}: a message within a message has lines of at most 998 octets, and no NUL", place)};
        head += fmt::format("Content-Transfer-Encoding: {}\r\n", is_ascii(body) ? "7bit" : "8bit");
    } else {
        body = base64_lines(attachment.octets);
        head += "Content-Transfer-Encoding: base64\r\n";
    }
    head += fmt::format("Content-Disposition: {}{}\r\n", attachment.content_id.empty() ? "attachment" : "inline",
                        file_name_parameter(attachment.file_name));
    if (!attachment.content_id.empty())
        head += message::field("Content-ID", fmt::format("<{}>", attachment.content_id));
    return fmt::format("{}\r\n{}", head, body);
}

/// The line end before a boundary belongs to the boundary: parts keep the line ends that they have.
template <class Parts>
std::string multipart(std::string_view kind, std::string_view parameters, std::string_view boundary, const Parts& parts)
{
    std::string out = fmt::format("Content-Type: multipart/{};{}\r\n boundary=\"{}\"\r\n\r\n", kind, parameters, boundary);
    for (const auto& part : parts)
        out += fmt::format("--{}\r\n{}\r\n", boundary, part.text);
    return out + fmt::format("--{}--\r\n", boundary);
}

/// JSON text is UTF-8, and so is what came out of it: the header says it in ASCII, and the body says that it is.
Result<std::string> completed(std::string content)
{
    if (!message::has_8bit(content))
        return content;
    message::Edits edits;
    bool says_of_itself = false;
    message::HeaderWalk walk(content);
    while (const auto field = walk.next()) {
        says_of_itself = says_of_itself || field->is("MIME-Version") || field->is("Content-Type");
        if (!message::has_8bit(field->whole))
            continue;
        TRY(std::string encoded, encoded_field(field->name, message::unfold(field->body)));
        edits.replace(field->offset, field->whole.size(), std::move(encoded));
    }
    if (!says_of_itself && message::has_8bit(std::string_view(content).substr(walk.body_offset())))
        edits.insert(walk.header_size(), "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n");
    return edits.empty() ? std::move(content) : edits.apply(content);
}

bool breaks_line(std::string_view text)
{
    return std::ranges::any_of(text, [](char c) { return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f; });
}

}  // namespace

Result<std::string> encoded_field(std::string_view name, std::string_view value)
{
    if (is_ascii(value))
        return message::field(name, value);
    if (message::address_field(name) == message::AddressField::none)
        return message::field(name, message::encode_words(value));
    const message::AddressList list = message::parse_address_list(value);
    std::string body;
    for (const message::Address& address : list.addresses) {
        if (address.malformed || list.cut || !address.group.empty())
            return Error{fmt::format("{}: text beyond ASCII, which is not within the name of an address", name)};
        body += body.empty() ? "" : ", ";
        body += message::named_address(address.display, address.mailbox);
    }
    return message::field(name, body);
}

std::string file_name_parameter(std::string_view name)
{
    if (name.empty())
        return {};
    if (is_ascii(name) && name.size() <= parameter_room) {
        std::string quoted;
        for (const char c : name) {
            if (c == '"' || c == '\\')
                quoted += '\\';
            quoted += c;
        }
        return fmt::format(";\r\n filename=\"{}\"", quoted);
    }
    std::vector<std::string> pieces(1);
    for (const char c : name) {
        const bool plain = is_alnum(c) || c == '.' || c == '-' || c == '_';
        if (pieces.back().size() + 3 > parameter_room)
            pieces.emplace_back();
        pieces.back() += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    if (pieces.size() == 1)
        return fmt::format(";\r\n filename*=utf-8''{}", pieces[0]);
    std::string out;
    for (std::size_t at = 0; at < pieces.size(); ++at)
        out += fmt::format(";\r\n filename*{}*={}{}", at, at == 0 ? "utf-8''" : "", pieces[at]);
    return out;
}

Result<Composer> Composer::make(Request& request, const RenderLimits& limits)
{
    Composer composer(request, limits);
    if (auto* const text = std::get_if<std::string>(&request.content)) {
        auto whole = Template::compile(request.dialect, *text);
        if (!whole)
            return Error{fmt::format("content: {}", whole.error().text())};
        composer.same_ = whole->literal() && request.reference_field.empty();
        composer.whole_ = *std::move(whole);
        text->clear();
        return composer;
    }
    TRY_VOID(composer.compile(std::get<Built>(request.content)));
    return composer;
}

Result<void> Composer::compile(Built& built)
{
    const auto one = [&](std::string_view member, std::string_view source, bool html = false) -> Result<Template> {
        auto made = Template::compile(request_->dialect, source, html);
        if (!made)
            return Error{fmt::format("{}: {}", member, made.error().text())};
        return made;
    };
    for (auto& [source, into, name, html] : {std::tuple{&built.text, &text_, "content.text_body", false},
                                             {&built.html, &html_, "content.html_body", true},
                                             {&built.amp, &amp_, "content.amp_html_body", true}})
        if (*source) {
            TRY(*into, one(name, **source, html));
            source->reset();
        }
    for (auto& [source, into, name] : {std::tuple{&built.from, &from_, "content.from.name"}, {&built.reply_to, &reply_to_, "content.reply_to.name"}})
        if (*source) {
            TRY(auto shown, one(name, (*source)->name));
            into->emplace(Shown{**source, std::move(shown)});
        }
    if (built.subject) {
        TRY(auto subject, one("content.subject", *built.subject));
        fields_.push_back({"Subject", "content.subject", std::move(subject)});
    }
    // What has a member of its own is said by that.
    for (const auto& [name, value] : built.headers) {
        if ((built.subject && iequals(name, "Subject")) || (built.from && iequals(name, "From")) || (built.reply_to && iequals(name, "Reply-To")))
            continue;
        std::string member = fmt::format("content.headers[{}]", name);
        TRY(auto field, one(member, value));
        fields_.push_back({name, std::move(member), std::move(field)});
    }
    for (std::size_t at = 0; at < built.attachments.size(); ++at) {
        const Attachment& attachment = built.attachments[at];
        TRY(auto part, attachment_part(attachment, fmt::format("content.attachments[{}]", at)));
        (attachment.content_id.empty() ? attached_ : inline_).push_back({std::move(part), attachment.content_type});
        built.attachments[at] = {};
    }
    boundary_ = "=_" + hex_encode(tls::random_octets(12));
    return {};
}

Result<std::string> Composer::compose(const Recipient& recipient) const
{
    json::object own;
    own["email"] = recipient.email;
    if (recipient.name)
        own["name"] = *recipient.name;
    own["to_header"] = message::named_address(recipient.name.value_or(""), recipient.mailbox.value_or(smtp::Mailbox()));
    const std::array<const json::object*, 3> values{&recipient.substitutions, &own, &request_->substitutions};
    std::string content;
    if (whole_) {
        TRY(const std::string rendered, whole_->render(values, limits_));
        smtp::LineEnds line_ends;
        line_ends.feed(rendered, content);
        line_ends.finish(content);
    } else {
        TRY(content, build(recipient, values));
    }
    if (!request_->reference_field.empty())                    // what KumoMTA writes there, for who reads feedback reports
        content.insert(0, message::field(request_->reference_field, base64_encode(fmt::format("{{\"_@_\":\"\\\\_/\",\"recipient\":{}}}",
                                                                                              json::serialize(json::value(recipient.email))))));
    return whole_ ? completed(std::move(content)) : Result<std::string>(std::move(content));
}

Result<std::string> Composer::build_head(const Recipient& recipient, std::span<const json::object* const> values) const
{
    std::string head;
    const auto address = [&](std::string_view field, std::string_view member, const Shown& shown) -> Result<void> {
        TRY(const std::string name, shown.name.render(values, limits_));
        if (breaks_line(name))
            return Error{fmt::format("{}: has control characters, which would end the line", member)};
        head += message::field(field, message::named_address(name, shown.person.mailbox));
        return {};
    };
    if (from_)
        TRY_VOID(address("From", "content.from.name", *from_));
    if (std::ranges::none_of(fields_, [](const HeaderField& field) { return iequals(field.name, "To"); }))
        head += message::field("To", message::named_address(recipient.name.value_or(""), recipient.mailbox.value_or(smtp::Mailbox())));
    if (reply_to_)
        TRY_VOID(address("Reply-To", "content.reply_to.name", *reply_to_));
    for (const HeaderField& field : fields_) {
        auto value = field.value.render(values, limits_);
        if (!value)
            return Error{fmt::format("{}: {}", field.member, value.error().text())};
        if (breaks_line(*value))
            return Error{fmt::format("{}: has control characters, which would end the line", field.member)};
        auto made = encoded_field(field.name, *value);
        if (!made)
            return Error{fmt::format("{}: {}", field.member, made.error().text())};
        head += *made;
    }
    return head + "MIME-Version: 1.0\r\n";
}

/// In the order of what is shown rather than what is before it (RFC 2046 5.1.4); AMP stands between text and HTML.
Result<void> Composer::add_bodies(std::vector<Part>& parts, std::span<const json::object* const> values) const
{
    for (const auto& [body, type, member] :
         {std::tuple{&text_, "plain", "content.text_body"}, {&amp_, "x-amp-html", "content.amp_html_body"}, {&html_, "html", "content.html_body"}}) {
        if (!*body)
            continue;
        const auto rendered = (*body)->render(values, limits_);
        if (!rendered)
            return Error{fmt::format("{}: {}", member, rendered.error().text())};
        parts.push_back({text_part(type, *rendered), fmt::format("text/{}", type)});
    }
    return {};
}

Result<std::string> Composer::build(const Recipient& recipient, std::span<const json::object* const> values) const
{
    TRY(std::string content, build_head(recipient, values));
    std::vector<Part> bodies;
    TRY_VOID(add_bodies(bodies, values));
    Part body = bodies.size() == 1 ? std::move(bodies[0]) : Part{multipart("alternative", "", boundary_ + "a", bodies), "multipart/alternative"};
    const auto around = [&](std::string_view kind, char letter, const std::vector<Part>& more) {
        if (more.empty())
            return;
        std::vector<Part> parts{std::move(body)};
        parts.insert(parts.end(), more.begin(), more.end());
        const std::string parameters = kind == "related" ? fmt::format("\r\n type=\"{}\";", parts[0].type) : "";
        body = {multipart(kind, parameters, boundary_ + letter, parts), fmt::format("multipart/{}", kind)};
    };
    around("related", 'r', inline_);
    around("mixed", 'm', attached_);
    content += body.text;
    if (!content.ends_with("\r\n"))
        content += "\r\n";
    return content;
}

}  // namespace posthorn::inject
