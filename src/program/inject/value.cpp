#include "inject/value.hpp"

#include "base/strings.hpp"

#include <boost/json/serialize.hpp>

#include <fmt/format.h>
#include <unicode/locid.h>
#include <unicode/unistr.h>

#include <cmath>

namespace posthorn::inject {

namespace json = boost::json;

namespace {

std::string number_text(double number)
{
    return std::isfinite(number) && number == std::trunc(number) && std::abs(number) < 1e15 ? fmt::format("{:.1f}", number)
                                                                                            : fmt::format("{}", number);
}

}  // namespace

std::string_view text_of(const json::string& text) { return {text.data(), text.size()}; }

bool is_true(Value value)
{
    if (value.at == nullptr)
        return false;
    switch (value.at->kind()) {
    case json::kind::null: return false;
    case json::kind::bool_: return value.at->get_bool();
    case json::kind::int64: return value.at->get_int64() != 0;
    case json::kind::uint64: return value.at->get_uint64() != 0;
    case json::kind::double_: return value.at->get_double() != 0;
    case json::kind::string: return !value.at->get_string().empty();
    case json::kind::array: return !value.at->get_array().empty();
    case json::kind::object: return !value.at->get_object().empty();
    }
    return false;
}

json::value number(std::size_t count) { return static_cast<std::int64_t>(count); }

void write(const json::value& value, std::string& out, bool within)
{
    switch (value.kind()) {
    case json::kind::null: out += "none"; return;
    case json::kind::bool_: out += value.get_bool() ? "true" : "false"; return;
    case json::kind::int64: out += fmt::format("{}", value.get_int64()); return;
    case json::kind::uint64: out += fmt::format("{}", value.get_uint64()); return;
    case json::kind::double_: out += number_text(value.get_double()); return;
    case json::kind::string: out += within ? json::serialize(value) : std::string(text_of(value.get_string())); return;
    case json::kind::array: {
        out += '[';
        for (const json::value& item : value.get_array()) {
            out += out.back() == '[' && &item == value.get_array().begin() ? "" : ", ";
            write(item, out, true);
        }
        out += ']';
        return;
    }
    case json::kind::object: {
        out += '{';
        bool first = true;
        for (const auto& [name, member] : value.get_object()) {
            out += first ? "" : ", ";
            first = false;
            out += json::serialize(json::value(name)) + ": ";
            write(member, out, true);
        }
        out += '}';
        return;
    }
    }
}

std::string escaped_html(std::string_view text, Dialect dialect)
{
    std::string out;
    out.reserve(text.size() + text.size() / 8);
    for (const char c : text)
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        case '\'': out += "&#x27;"; break;
        case '/': out += dialect == Dialect::jinja ? "&#x2f;" : "/"; break;
        case '`': out += dialect == Dialect::handlebars ? "&#x60;" : "`"; break;
        case '=': out += dialect == Dialect::handlebars ? "&#x3D;" : "="; break;
        default: out += c;
        }
    return out;
}

std::string percent_encoded(std::string_view text)
{
    std::string out;
    for (const char c : text)
        if (is_alnum(c) || std::string_view("-._~/").find(c) != std::string_view::npos)
            out += c;
        else
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    return out;
}

std::string in_case(std::string_view text, Case wanted)
{
    const auto all = icu::UnicodeString::fromUTF8({text.data(), static_cast<std::int32_t>(text.size())});
    icu::UnicodeString made;
    bool start = true;
    if (wanted == Case::upper)
        made = icu::UnicodeString(all).toUpper(icu::Locale::getRoot());
    else if (wanted == Case::lower)
        made = icu::UnicodeString(all).toLower(icu::Locale::getRoot());
    else
        for (std::int32_t at = 0; at < all.length();) {
            const icu::UnicodeString one(all.char32At(at));
            made.append(start ? icu::UnicodeString(one).toUpper(icu::Locale::getRoot()) : icu::UnicodeString(one).toLower(icu::Locale::getRoot()));
            const UChar32 c = all.char32At(at);
            start = wanted == Case::title && (c == ' ' || c == '\t' || c == '\n' || c == '-');
            at += one.length();
        }
    std::string utf8;
    return made.toUTF8String(utf8);
}

std::optional<double> as_number(const json::value& value)
{
    boost::system::error_code error;
    const double number = value.is_number() ? value.to_number<double>(error) : 0;
    return value.is_number() && !error ? std::optional(number) : std::nullopt;
}

bool equal(Value a, Value b)
{
    if (a.at == nullptr || b.at == nullptr)
        return a.at == b.at;
    const auto left = as_number(*a.at), right = as_number(*b.at);
    return left && right ? *left == *right : *a.at == *b.at;
}

}  // namespace posthorn::inject
