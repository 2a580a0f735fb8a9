// inject/value.hpp: what a place of a template gives, and what becomes of it as text. For template.cpp alone.
#pragma once

#include "inject/request.hpp"

#include <boost/json/string.hpp>
#include <boost/json/value.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::inject {

/// Undefined where it points at nothing.
struct Value {
    const boost::json::value* at = nullptr;
    bool safe = false;                       // HTML that need not be escaped
};

std::string_view text_of(const boost::json::string& text);
bool is_true(Value value);
boost::json::value number(std::size_t count);
/// As it stands in text: what MiniJinja writes for lists and objects looks like JSON. `within`: of such a one.
void write(const boost::json::value& value, std::string& out, bool within);
/// What MiniJinja escapes, and what Handlebars does.
std::string escaped_html(std::string_view text, Dialect dialect);
std::string percent_encoded(std::string_view text);
enum class Case : std::uint8_t { upper, lower, capitalize, title };
std::string in_case(std::string_view text, Case wanted);
/// None: it is no number.
std::optional<double> as_number(const boost::json::value& value);
bool equal(Value a, Value b);

}  // namespace posthorn::inject
