#include "kumomta/data_file.hpp"

#include <fmt/format.h>

#include <boost/json/stream_parser.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <utility>

// toml++ takes for granted, in a build without assertions, what a wrong file may break (a key that begins with no character of a key): here that is an error
// like any other. Its header looks at NDEBUG, which is nobody else's here.
namespace posthorn::kumomta {
struct BrokenToml {};
}  // namespace posthorn::kumomta
#undef NDEBUG
#define TOML_ASSERT(expression) ((expression) ? static_cast<void>(0) : throw ::posthorn::kumomta::BrokenToml())
#define TOML_EXCEPTIONS 1
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace posthorn::kumomta {

namespace {

namespace json = boost::json;

/// Counts what is taken, so that a file of nested lists cannot become more than the limits say.
class Taker {
public:
    explicit Taker(const std::string& name) : name_(name) {}
    bool too_much() const { return too_much_; }

    Value take(const toml::node& node, int level)
    {
        Value value;
        value.place = {name_, static_cast<int>(node.source().begin.line)};
        if (full(level))
            return value;
        if (const auto* const table = node.as_table()) {
            value.kind = Value::Kind::table;
            for (const auto& [key, entry] : *table)
                value.entries.push_back({std::string(key.str()), take(entry, level + 1)});
            // As written, not by name.
            std::ranges::sort(value.entries, {}, [](const Entry& entry) { return std::pair(entry.value.place.line, std::string_view(entry.name)); });
        } else if (const auto* const list = node.as_array()) {
            value.kind = Value::Kind::list;
            for (const toml::node& item : *list)
                value.items.push_back(take(item, level + 1));
        } else {
            scalar(node, value);
        }
        return value;
    }

    Value take(const json::value& from, int level)
    {
        Value value;
        value.place = {name_, 0};
        if (full(level))
            return value;
        if (from.is_object()) {
            value.kind = Value::Kind::table;
            for (const auto& [key, entry] : from.get_object())
                value.entries.push_back({std::string(key), take(entry, level + 1)});
        } else if (from.is_array()) {
            value.kind = Value::Kind::list;
            for (const json::value& item : from.get_array())
                value.items.push_back(take(item, level + 1));
        } else if (from.is_string()) {
            value = Value::of(std::string(from.get_string()), value.place);
        } else if (from.is_bool()) {
            value.kind = Value::Kind::boolean;
            value.boolean = from.get_bool();
        } else if (from.is_number()) {
            value.kind = Value::Kind::number;
            value.number = from.to_number<double>();
        }
        return value;
    }

private:
    bool full(int level)
    {
        too_much_ = too_much_ || level > value_levels || ++count_ > value_count;
        return too_much_;
    }

    static void scalar(const toml::node& node, Value& value)
    {
        if (const auto text = node.value_exact<std::string>()) {
            value.kind = Value::Kind::text;
            value.text = *text;
        } else if (const auto boolean = node.value_exact<bool>()) {
            value.kind = Value::Kind::boolean;
            value.boolean = *boolean;
        } else if (const auto number = node.value<double>()) {
            value.kind = Value::Kind::number;
            value.number = *number;
        } else {
            value.kind = Value::Kind::unknown;
            value.text = "a date";
        }
    }

    const std::string& name_;
    std::size_t count_ = 0;
    bool too_much_ = false;
};

int line_at(std::string_view text, std::size_t octet) { return static_cast<int>(1 + std::ranges::count(text.substr(0, octet), '\n')); }

Result<Value> checked(Value value, const Taker& taker, const std::string& name)
{
    if (taker.too_much())
        return Error{fmt::format("{}: more than {} values, or {} levels", name, value_count, value_levels)};
    if (!value.is_table())
        return Error{fmt::format("{}, line 1: no table", name)};
    return value;
}

Result<Value> parse_toml(std::string_view text, const std::string& name)
{
    try {
        const toml::table parsed = toml::parse(text, name);
        Taker taker(name);
        return checked(taker.take(parsed, 0), taker, name);
    } catch (const toml::parse_error& wrong) {
        return Error{fmt::format("{}, line {}: {}", name, wrong.source().begin.line, wrong.description())};
    } catch (const BrokenToml&) {
        return Error{fmt::format("{}: no TOML", name)};
    }
}

Result<Value> parse_json(std::string_view text, const std::string& name)
{
    json::parse_options options;
    options.max_depth = value_levels;
    options.allow_comments = options.allow_trailing_commas = true;
    json::stream_parser parser({}, options);
    boost::system::error_code trouble;
    const std::size_t read = parser.write_some(text.data(), text.size(), trouble);
    if (!trouble && read < text.size())
        trouble = json::error::extra_data;
    if (!trouble)
        parser.finish(trouble);
    if (trouble)
        return Error{fmt::format("{}, line {}: {}", name, line_at(text, read), trouble.message())};
    Taker taker(name);
    return checked(taker.take(parser.release(), 0), taker, name);
}

}  // namespace

Result<Value> parse_data(std::string_view text, const std::string& name)
{
    return name.ends_with(".toml") ? parse_toml(text, name) : parse_json(text, name);
}

}  // namespace posthorn::kumomta
