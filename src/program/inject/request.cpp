#include "inject/request.hpp"

#include "base/strings.hpp"

#include <boost/json/error.hpp>
#include <boost/json/parser.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::inject {

namespace json = boost::json;

namespace {

constexpr std::size_t deepest_json = 32;

/// "line 3, column 7" of an offset.
std::string place_in(std::string_view text, std::size_t offset)
{
    const std::string_view before = text.substr(0, offset);
    const auto line = std::ranges::count(before, '\n') + 1;
    const auto start = before.rfind('\n');
    return fmt::format("line {}, column {}", line, before.size() - (start == before.npos ? 0 : start + 1) + 1);
}

std::string_view view(json::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

bool has_control(std::string_view text)
{
    return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// A field name (RFC 5322 3.6.8).
bool is_field_name(std::string_view name)
{
    return !name.empty() && name.size() <= 200 && std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f && c != ':'; });
}

/// "type/subtype", with parameters behind a semicolon (RFC 2045 5.1).
bool is_content_type(std::string_view text)
{
    const std::string_view kind = trim(text.substr(0, text.find(';')));
    const auto slash = kind.find('/');
    const auto token = [](std::string_view word) {
        return !word.empty() &&
               std::ranges::all_of(word, [](char c) { return is_alnum(c) || std::string_view("!#$&-^_.+").find(c) != std::string_view::npos; });
    };
    return slash != kind.npos && token(kind.substr(0, slash)) && token(kind.substr(slash + 1)) && is_ascii(text) && !has_control(text);
}

/// The members of an object, each of which is asked for once; what is left in the end is unknown.
class Members {
public:
    Members(json::object& object, std::string place) : object_(object), place_(std::move(place)) {}

    std::string at(std::string_view name) const { return place_.empty() ? std::string(name) : fmt::format("{}.{}", place_, name); }

    /// None: it is not there, or null.
    std::optional<json::value> take(std::string_view name)
    {
        const auto found = object_.find(name);
        if (found == object_.end())
            return {};
        json::value value = std::move(found->value());
        object_.erase(found);
        return value.is_null() ? std::nullopt : std::optional(std::move(value));
    }
    Result<std::optional<std::string>> text(std::string_view name)
    {
        const auto value = take(name);
        if (!value)
            return std::optional<std::string>();
        if (!value->is_string())
            return Error{fmt::format("{}: a string is needed", at(name))};
        return std::optional(std::string(view(value->get_string())));
    }
    Result<std::string> needed_text(std::string_view name)
    {
        TRY(auto value, text(name));
        if (!value)
            return Error{fmt::format("{}: is missing", at(name))};
        return *std::move(value);
    }
    Result<bool> flag(std::string_view name)
    {
        const auto value = take(name);
        if (value && !value->is_bool())
            return Error{fmt::format("{}: true or false is needed", at(name))};
        return value && value->get_bool();
    }
    Result<json::object> object(std::string_view name)
    {
        auto value = take(name);
        if (!value)
            return json::object();
        if (!value->is_object())
            return Error{fmt::format("{}: an object is needed", at(name))};
        return std::move(value->get_object());
    }
    Result<json::array> array(std::string_view name)
    {
        auto value = take(name);
        if (!value)
            return json::array();
        if (!value->is_array())
            return Error{fmt::format("{}: an array is needed", at(name))};
        return std::move(value->get_array());
    }
    Result<void> nothing_left() const
    {
        if (object_.empty())
            return {};
        return Error{fmt::format("{}: there is no such member", at(printable(view(object_.begin()->key()).substr(0, 100))))};
    }

private:
    json::object& object_;
    std::string place_;
};

std::optional<smtp::Mailbox> mailbox_in(std::string_view text)
{
    if (has_control(text) || text.find_first_of("<>") != text.npos)
        return {};
    return smtp::parse_path(fmt::format("<{}>", text), {.strict = true, .utf8 = true, .max_length = 1000});
}

Result<std::optional<Person>> person_in(Members& members, std::string_view name)
{
    auto value = members.take(name);
    if (!value)
        return std::optional<Person>();
    if (!value->is_object())
        return Error{fmt::format("{}: an object with email and name is needed", members.at(name))};
    Members inner(value->get_object(), members.at(name));
    TRY(const auto email, inner.needed_text("email"));
    TRY(auto shown, inner.text("name"));
    TRY_VOID(inner.nothing_left());
    const auto mailbox = mailbox_in(email);
    if (!mailbox || mailbox->domain.empty())
        return Error{fmt::format("{}: is no address", inner.at("email"))};
    if (shown && has_control(*shown))
        return Error{fmt::format("{}: has control characters, which would end a header line", inner.at("name"))};
    return std::optional(Person{*mailbox, std::move(shown).value_or("")});
}

Result<Recipient> recipient_in(json::value& value, std::string place)
{
    if (!value.is_object())
        return Error{fmt::format("{}: an object with email is needed", place)};
    Members members(value.get_object(), std::move(place));
    TRY(auto email, members.needed_text("email"));
    TRY(auto name, members.text("name"));
    TRY(auto substitutions, members.object("substitutions"));
    TRY_VOID(members.object("metadata"));                      // for hooks that are not here
    TRY_VOID(members.nothing_left());
    if (name && has_control(*name))
        return Error{fmt::format("{}: has control characters, which would end a header line", members.at("name"))};
    auto mailbox = mailbox_in(email);
    if (mailbox && mailbox->null())
        mailbox.reset();
    return Recipient{std::move(email), std::move(mailbox), std::move(name), std::move(substitutions)};
}

Result<Attachment> attachment_in(json::value& value, std::string place)
{
    if (!value.is_object())
        return Error{fmt::format("{}: an object is needed", place)};
    Members members(value.get_object(), std::move(place));
    Attachment attachment;
    TRY(attachment.octets, members.needed_text("data"));
    TRY(attachment.content_type, members.needed_text("content_type"));
    TRY(auto content_id, members.text("content_id"));
    TRY(auto file_name, members.text("file_name"));
    TRY(const bool encoded, members.flag("base64"));
    TRY_VOID(members.nothing_left());
    if (encoded) {
        auto decoded = base64_decode(attachment.octets);
        if (!decoded)
            return Error{fmt::format("{}: is no base64", members.at("data"))};
        attachment.octets = *std::move(decoded);
    }
    if (!is_content_type(attachment.content_type))
        return Error{fmt::format("{}: is no content type", members.at("content_type"))};
    if (istarts_with(attachment.content_type, "multipart/"))
        return Error{fmt::format("{}: an attachment has no parts of its own", members.at("content_type"))};
    attachment.content_id = std::move(content_id).value_or("");
    if (std::ranges::any_of(attachment.content_id, [](char c) { return c <= ' ' || c >= 0x7f || c == '<' || c == '>'; }))
        return Error{fmt::format("{}: printable ASCII without blanks and <> is needed", members.at("content_id"))};
    attachment.file_name = std::move(file_name).value_or("");
    if (has_control(attachment.file_name))
        return Error{fmt::format("{}: has control characters", members.at("file_name"))};
    return attachment;
}

/// What the builder writes itself.
constexpr std::string_view builders_own[] = {"MIME-Version", "Content-Type", "Content-Transfer-Encoding"};

Result<void> take_headers(Members& members, Built& built)
{
    TRY(const auto headers, members.object("headers"));
    for (const auto& [name, value] : headers) {
        const std::string place = fmt::format("{}[{}]", members.at("headers"), printable(view(name).substr(0, 100)));
        if (!is_field_name(view(name)))
            return Error{fmt::format("{}: is no name of a header field", place)};
        if (!value.is_string())
            return Error{fmt::format("{}: a string is needed", place)};
#ifdef POSTHORN_PLANT_BUG_inject_request                           // a value that begins a field of its own (scripts/fuzz-planted)
        if (view(value.get_string()).find('\r') != std::string_view::npos)
#else
        if (has_control(view(value.get_string())))
#endif
            return Error{fmt::format("{}: has control characters, which would end the line", place)};
        const auto same = [&](std::string_view other) { return iequals(view(name), other); };
        if (std::ranges::any_of(builders_own, same))
            return Error{fmt::format("{}: is written by who builds the message", place)};
        if (std::ranges::any_of(built.headers, [&](const auto& header) { return same(header.first); }))
            return Error{fmt::format("{}: stands there twice", place)};
        built.headers.emplace_back(std::string(view(name)), std::string(view(value.get_string())));
    }
    return {};
}

Result<Built> built_in(json::object& object)
{
    Members members(object, "content");
    Built built;
    TRY(built.text, members.text("text_body"));
    TRY(built.html, members.text("html_body"));
    TRY(built.amp, members.text("amp_html_body"));
    TRY(built.from, person_in(members, "from"));
    TRY(built.reply_to, person_in(members, "reply_to"));
    TRY(built.subject, members.text("subject"));
    TRY_VOID(take_headers(members, built));
    TRY(auto attachments, members.array("attachments"));
    TRY_VOID(members.nothing_left());
    if (!built.text && !built.html)
        return Error{"content: text_body or html_body is needed"};
    if (built.subject && has_control(*built.subject))
        return Error{"content.subject: has control characters, which would end a header line"};
    for (std::size_t at = 0; at < attachments.size(); ++at) {
        TRY(auto attachment, attachment_in(attachments[at], fmt::format("content.attachments[{}]", at)));
        built.attachments.push_back(std::move(attachment));
    }
    return built;
}

Result<Dialect> dialect_in(Members& members)
{
    TRY(const auto word, members.text("template_dialect"));
    if (!word || *word == "Jinja")
        return Dialect::jinja;
    if (*word == "Static")
        return Dialect::literal;
    if (*word == "Handlebars")
        return Dialect::handlebars;
    return Error{"template_dialect: is none of Jinja, Static, Handlebars"};
}

/// The field is added where it was asked for; that it is by default there, and the other words, have nothing to decide here.
Result<std::string> reference_in(Members& members)
{
    TRY(auto object, members.object("trace_headers"));
    Members inner(object, "trace_headers");
    TRY_VOID(inner.flag("received_header"));
    TRY(const bool wanted, inner.flag("supplemental_header"));
    TRY(auto name, inner.text("header_name"));
    (void)inner.take("include_meta_names");
    TRY_VOID(inner.nothing_left());
    if (!wanted)
        return std::string();
    if (name && (!is_field_name(*name) || !istarts_with(*name, "X-")))
        return Error{"trace_headers.header_name: a name that begins with X- is needed"};
    return std::move(name).value_or("X-KumoRef");
}

Result<json::value> parse_json(std::string_view text, const json::storage_ptr& memory)
{
    json::parse_options options;
    options.max_depth = deepest_json;
    json::parser parser(memory, options);
    parser.reset(memory);
    boost::system::error_code error;
    const std::size_t read = parser.write_some(text.data(), text.size(), error);
    if (error == json::error::incomplete)
        return Error{fmt::format("{}: the JSON text ends too early", place_in(text, text.size()))};
    if (error)
        return Error{fmt::format("{}: this is no JSON text ({})", place_in(text, read), error.message())};
    if (!trim(text.substr(read)).empty())
        return Error{fmt::format("{}: something follows the JSON text", place_in(text, read))};
    return parser.release();
}

Result<std::variant<std::string, Built>> content_in(Members& members)
{
    auto content = members.take("content");
    if (content && content->is_string())
        return std::variant<std::string, Built>(std::string(view(content->get_string())));
    if (!content || !content->is_object())
        return Error{"content: a string or an object is needed"};
    TRY(auto built, built_in(content->get_object()));
    return std::variant<std::string, Built>(std::move(built));
}

Result<std::vector<Recipient>> recipients_in(Members& members)
{
    auto value = members.take("recipients");
    if (!value || !value->is_array())
        return Error{"recipients: an array is needed"};
    json::array& list = value->get_array();
    std::vector<Recipient> recipients;
    recipients.reserve(list.size());
    for (std::size_t at = 0; at < list.size(); ++at) {
        TRY(auto recipient, recipient_in(list[at], fmt::format("recipients[{}]", at)));
        recipients.push_back(std::move(recipient));
    }
    return recipients;
}

Result<Request> request_in(json::value value)
{
    if (!value.is_object())
        return Error{"the request is no JSON object"};
    Members members(value.get_object(), "");
    TRY(const auto sender, members.needed_text("envelope_sender"));
    auto mailbox = mailbox_in(sender);
    if (!mailbox || (mailbox->domain.empty() && !mailbox->null()))
        return Error{"envelope_sender: is no address"};
    TRY(auto recipients, recipients_in(members));
    TRY(auto content, content_in(members));
    TRY(auto substitutions, members.object("substitutions"));
    TRY(const auto dialect, dialect_in(members));
    TRY(auto reference, reference_in(members));
    TRY_VOID(members.flag("deferred_spool"));
    TRY_VOID(members.flag("deferred_generation"));
    TRY_VOID(members.nothing_left());
    return Request{*std::move(mailbox), std::move(recipients), std::move(content), std::move(substitutions), dialect, std::move(reference)};
}

}  // namespace

Result<Request> parse_request(std::string_view text, json::storage_ptr memory)
{
    try {
        TRY(auto value, parse_json(text, memory));
        return request_in(std::move(value));
    } catch (const std::bad_alloc&) {                          // of the memory that was given
        return Error{"there is no memory left for this request", "4.3.1"};
    }
}

}  // namespace posthorn::inject
