// A template and values for it: the input is a template, a zero octet, and JSON. It is compiled or refused with its place; rendered twice it is the same; the
// limits hold; HTML has none of the values' own signs; and a text without signs of the language stays as it is.
#include "fuzz.hpp"

#include "inject/template.hpp"

#include <boost/json/parse.hpp>

namespace posthorn::fuzz {

using namespace posthorn::inject;

void fuzz_one(std::string_view input)
{
    const auto cut = input.find('\0');
    const std::string_view source = input.substr(0, cut);
    boost::json::value values = boost::json::object();
    if (cut != input.npos) {
        boost::system::error_code error;
        const std::string_view text = input.substr(cut + 1);
        auto parsed = boost::json::parse({text.data(), text.size()}, error);
        if (!error && parsed.is_object())
            values = std::move(parsed);
    }
    const boost::json::object* const objects[] = {&values.as_object()};
    const RenderLimits limits{.octets = 4096, .steps = 2000};
    for (const Dialect dialect : {Dialect::jinja, Dialect::handlebars, Dialect::literal})
        for (const bool html : {false, true}) {
            const auto compiled = Template::compile(dialect, source, html);
            if (!compiled) {
                FUZZ_CHECK(dialect != Dialect::literal && compiled.error().what().starts_with("line "));
                continue;
            }
            const auto once = compiled->render(objects, limits), twice = compiled->render(objects, limits);
            FUZZ_CHECK(once.has_value() == twice.has_value());
            if (!once) {
                FUZZ_CHECK(once.error().what() == twice.error().what() && once.error().what().starts_with("line "));
                continue;
            }
            FUZZ_CHECK(*once == *twice && once->size() <= limits.octets);
            if (dialect == Dialect::literal)
                FUZZ_CHECK(*once == source);
            else if (source.find('{') == source.npos)
                FUZZ_CHECK(source.starts_with(*once) && source.size() - once->size() <= 2 && compiled->literal());
        }
}

}  // namespace posthorn::fuzz
