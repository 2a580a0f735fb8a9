#include "inject/template.hpp"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::inject;

namespace {

constexpr const char* usual = R"({"name": "Ann", "email": "a@b.test", "n": 3, "f": 1.5, "yes": true, "no": false, "nothing": null, "empty": [],
    "tag": "<b>\"&'/`=", "list": [1, 2, 3], "people": [{"name": "Bo", "tags": ["x", "y"]}, {"name": "Cy", "tags": []}],
    "user": {"first": "Dan", "address": {"city": "Köln"}}, "pairs": [["k", "v"]]})";

struct Rendering {
    Dialect dialect = Dialect::jinja;
    bool html = false;
    RenderLimits limits = {};
    /// The text, or "! " and the error.
    std::string operator()(std::string_view source, const char* values = usual) const
    {
        const auto compiled = Template::compile(dialect, source, html);
        if (!compiled)
            return "! " + compiled.error().text();
        const auto parsed = boost::json::parse(values);
        const boost::json::object* const objects[] = {&parsed.as_object()};
        const auto text = compiled->render(objects, limits);
        return text ? *text : "! " + text.error().text();
    }
};

const Rendering jinja, html{.html = true}, bars{.dialect = Dialect::handlebars}, html_bars{.dialect = Dialect::handlebars, .html = true};

}  // namespace

TEST_CASE("template: the first object that has a name decides, and without places all get the same")
{
    const auto compiled = Template::compile(Dialect::jinja, "{{ a }} {{ b }}");
    REQUIRE(compiled);
    const auto first = boost::json::parse(R"({"a": 1})"), second = boost::json::parse(R"({"a": 2, "b": 3})");
    const boost::json::object* const objects[] = {&first.as_object(), &second.as_object()};
    CHECK(compiled->render(objects).value_or("") == "1 3");
    CHECK_FALSE(compiled->literal());
    CHECK(Template::compile(Dialect::jinja, "Hello {# nobody #} there")->literal());
    CHECK(Template::compile(Dialect::literal, "{{ a }} {% if %}")->literal());
    CHECK(Template::compile(Dialect::literal, "{{ a }}\n")->render({}).value_or("") == "{{ a }}\n");
}

TEST_CASE("template: jinja's places: names, members, items, values as text")
{
    CHECK(jinja("Hello {{ name }}!") == "Hello Ann!");
    CHECK(jinja("{{name}}{{ user.first }}{{ user.address.city }}{{ user['first'] }}{{ list[0] }}{{ list[-1] }}") == "AnnDanKölnDan13");
    CHECK(jinja("{{ n }} {{ f }} {{ yes }} {{ nothing }} {{ list }} {{ people[1] }}") == R"(3 1.5 true none [1, 2, 3] {"name": "Cy", "tags": []})");
    CHECK(jinja("{{ 'it''s' }}").starts_with("! line 1, column 8: "));
    CHECK(jinja(R"({{ "a\"b" ~ n ~ 'c' }})") == "a\"b3c");
    CHECK(jinja("{{ missing }}|{{ user.missing }}|{{ list[7] }}") == "||");
    CHECK(jinja("ab\n{{ missing.member }}") == "! line 2, column 12: what is undefined has no member \"member\"");
    CHECK(jinja("one line end at the end goes\n") == "one line end at the end goes");
    CHECK(jinja("{ not } a {tag} } %} }}") == "{ not } a {tag} } %} }}");
}

TEST_CASE("template: jinja's filters")
{
    CHECK(jinja("{{ missing | default('friend') }} {{ name|d('x') }} {{ nothing|default('x') }} {{ nothing|default('x', true) }}") ==
          "friend Ann none x");
    CHECK(jinja("{{ user.address.city|upper }} {{ 'ÄB'|lower }} {{ 'hello world'|title }} {{ 'hELLO you'|capitalize }}") ==
          "KÖLN äb Hello World Hello you");
    CHECK(jinja("{{ '  x '|trim }}{{ list|length }}{{ 'Köln'|length }}{{ list|join('-') }}{{ list|first }}{{ list|last }}{{ empty|first }}") ==
          "x341-2-313");
    CHECK(jinja("{{ 'a.b.c'|replace('.', '--') }} {{ 'a b&ü/'|urlencode }}") == "a--b--c a%20b%26%C3%BC/");
    CHECK(jinja("{{ tag | e }}") == "&lt;b&gt;&quot;&amp;&#x27;&#x2f;`=");
    CHECK(jinja("{{ name|md5 }}") == "! line 1, column 9: the filter \"md5\" is not known here");
    CHECK(jinja("{{ name|replace('a') }}") == "! line 1, column 9: the filter replace does not take 1 arguments");
    CHECK(jinja("{{ name|replace('', 'x') }}").starts_with("! line 1, column 9: "));
    CHECK(jinja("{{ n|first }}") == "! line 1, column 6: this is no list");
}

TEST_CASE("template: what is put into HTML is escaped, once, unless it is said to be safe")
{
    CHECK(html("<i>{{ tag }}</i>") == "<i>&lt;b&gt;&quot;&amp;&#x27;&#x2f;`=</i>");
    CHECK(html("{{ tag|safe }}{{ tag|e }}{{ tag|e|e }}") == "<b>\"&'/`=&lt;b&gt;&quot;&amp;&#x27;&#x2f;`=&lt;b&gt;&quot;&amp;&#x27;&#x2f;`=");
    CHECK(html("{{ '<br>'|safe ~ tag }}") == "<br>&lt;b&gt;&quot;&amp;&#x27;&#x2f;`=");
    CHECK(html("{{ tag|upper }}").starts_with("&lt;B&gt;"));
    CHECK(html_bars("{{tag}}{{{tag}}}{{& tag}}") == "&lt;b&gt;&quot;&amp;&#x27;/&#x60;&#x3D;<b>\"&'/`=<b>\"&'/`=");
    CHECK(bars("{{tag}}") == "<b>\"&'/`=");
}

TEST_CASE("template: jinja's conditions")
{
    CHECK(jinja("{% if yes %}a{% endif %}{% if no %}b{% elif n == 3 %}c{% else %}d{% endif %}{% if nothing or empty or missing %}e{% endif %}") ==
          "ac");
    CHECK(jinja("{% if not no and (n != 4 or no) %}a{% endif %}{% if name == 'Ann' and n >= 3 and n < 4 and f > 1 and n <= 3 %}b{% endif %}") ==
          "ab");
    CHECK(jinja("{% if 2 in list and 9 not in list and 'An' in name and 'first' in user %}a{% endif %}") == "a");
    CHECK(jinja("{% if name is defined and missing is undefined and nothing is none and name is not none %}a{% endif %}") == "a");
    CHECK(jinja("{{ 'x' if no else 'y' }}{{ 'z' if no }}{{ n == 3.0 }}") == "ytrue");
    CHECK(jinja("{% set greeting = 'Hi ' ~ name %}{% if yes %}{% set more = '!' %}{% endif %}{{ greeting }}{{ more }}") == "Hi Ann!");
    CHECK(jinja("{% if name < n %}{% endif %}") == "! line 1, column 12: these two have no order");
}

TEST_CASE("template: jinja's loops")
{
    CHECK(jinja("{% for x in list %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}") ==
          "1/3:1, 2/3:2, 3/3:3");
    CHECK(jinja("{% for p in people %}{{ p.name }}{% for t in p.tags %}{{ t }}{{ loop.index0 }}{% else %}-{% endfor %};{% endfor %}{{ p }}") ==
          "Box0y1;Cy-;");
    CHECK(
        jinja(
            "{% for k in user %}{{ k }} {% endfor %}{% for k, v in user %}{{ k }}={{ v }} {% endfor %}{% for a, b in pairs %}{{ a }}{{ b }}{% endfor %}") ==
        R"(first address first=Dan address={"city": "Köln"} kv)");
    CHECK(jinja("{% for k, v in user|items %}{{ k }} {% endfor %}{% for k, v in user.items() %}{{ k }} {% endfor %}") ==
          "first address first address ");
    CHECK(jinja("{% for x in missing %}a{% else %}none{% endfor %}") == "none");
    CHECK(jinja("{% for x in n %}{% endfor %}") == "! line 1, column 4: this is no list");
}

TEST_CASE("template: jinja's white space, comments and raw text")
{
    CHECK(jinja("a  {{- name -}}  b\n {%- if yes -%}\n c\n {%- endif %} d {#- x -#} e") == "aAnnbc de");
    CHECK(jinja("a\n{% if yes %}\nb\n{% endif %}\nc") == "a\n\nb\n\nc");
    CHECK(jinja("{% raw %}{{ name }}{% if %}{% endraw %}{{ name }}") == "{{ name }}{% if %}Ann");
    CHECK(jinja("{# {{ name }} #}x") == "x");
}

TEST_CASE("template: what of jinja is not known is refused before anything is sent, with its place")
{
    const std::pair<const char*, const char*> cases[] = {
        {"a\n{% include 'x' %}", "line 2, column 4: the statement \"include\" is not known here"},
        {"{% macro x() %}{% endmacro %}", "line 1, column 4: the statement \"macro\" is not known here"},
        {"{{ now() }}", "line 1, column 7: functions and methods are not known here"},
        {"{{ name.upper() }}", "line 1, column 14: functions and methods are not known here"},
        {"{{ n + 1 }}", "line 1, column 6: \"+\" has no meaning here"},
        {"{{ name", "line 1, column 1: this tag has no }}"},
        {"{{ }}", "line 1, column 4: a value is needed here"},
        {"{% if yes %}x", "line 1, column 13: this block has no endif"},
        {"x{% endif %}", "line 1, column 5: endif without its beginning"},
        {"{% if yes %}{% endfor %}", "line 1, column 16: endfor without its beginning"},
        {"{% for x of list %}{% endfor %}", "line 1, column 10: for needs: for NAME in LIST"},
        {"{% for loop in list %}{% endfor %}", "line 1, column 8: \"loop\" is the loop's own name"},
        {"{{ 'abc }}", "line 1, column 4: this string has no end"},
        {"{{ a b }}", "line 1, column 6: \"b\" has no meaning here"},
        {"{{ a is odd }}", "line 1, column 9: the test \"odd\" is not known here"},
        {"{{ a == b == c }}", "line 1, column 11: comparisons do not follow each other"},
        {"{% if yes %}{% else %}{% else %}{% endif %}", "line 1, column 26: else without its beginning"},
        {"{# no end", "line 1, column 1: this comment has no end"},
    };
    for (const auto& [source, error] : cases) {
        CAPTURE(source);
        CHECK(jinja(source) == "! " + std::string(error));
    }
}

TEST_CASE("template: handlebars")
{
    CHECK(bars("Hello {{name}} {{ user.first }} {{user/address/city}} {{list.[1]}} {{people.[1].name}} {{missing}}{{missing.x}}{{nothing}}") ==
          "Hello Ann Dan Köln 2 Cy ");
    CHECK(bars("{{#if yes}}a{{/if}}{{#if no}}b{{else if n}}c{{else}}d{{/if}}{{#unless no}}e{{/unless}}{{#if empty}}f{{else}}g{{/if}}") == "aceg");
    CHECK(bars("{{#each people}}{{@index}}{{name}}{{#each tags}}{{this}}{{../name}}{{#unless @last}},{{/unless}}{{else}}-{{/each}};{{/each}}") ==
          "0BoxBo,yBo;1Cy-;");
    CHECK(bars("{{#each user}}{{@key}}={{this.city}};{{/each}}{{#with user}}{{first}}{{name}}{{/with}}{{#with missing}}x{{else}}y{{/with}}") ==
          "first=;address=Köln;DanAnny");
    CHECK(bars("{{#each people}}{{@root.name}}{{this.name}} {{/each}}") == "AnnBo AnnCy ");
    CHECK(bars("a {{~name~}} b{{! no }}{{!-- no }} --}}c") == "aAnnbc");
    CHECK(bars("a\n{{#if yes}}\n  b\n{{/if}}\nc\n  {{! alone }}\nd\n") == "a\n  b\nc\nd\n");
}

TEST_CASE("template: what of handlebars is not known is refused, with its place")
{
    const std::pair<const char*, const char*> cases[] = {
        {"a\n{{> partial}}", "line 2, column 1: tags with > are not known here"},
        {"{{upper name}}", "line 1, column 3: helpers are not known here: \"upper name\""},
        {"{{#if (eq a b)}}{{/if}}", "line 1, column 7: helpers are not known here: \"(eq a b)\""},
        {"{{#repeat 3}}{{/repeat}}", "line 1, column 1: the block \"repeat\" is not known here"},
        {"{{#if a}}x", "line 1, column 10: this block has no {{/if}}"},
        {"{{/if}}", "line 1, column 1: \"/if\" ends no block here"},
        {"{{#if a}}{{/each}}", "line 1, column 10: \"/each\" ends no block here"},
        {"{{else}}", "line 1, column 1: else without its block"},
        {"{{#if a}}{{else}}{{else}}{{/if}}", "line 1, column 18: a second else"},
        {"{{name", "line 1, column 1: this tag has no }}"},
        {"{{}}", "line 1, column 3: a name is needed here"},
        {"{{a..b}}", "line 1, column 3: \".b\" is no name"},
        {"{{a.}}", "line 1, column 3: \"a.\" is no name"},
        {"{{@level}}", "line 1, column 3: \"@level\" is not known here"},
        {"{{#if}}{{/if}}", "line 1, column 1: this block needs a name"},
    };
    for (const auto& [source, error] : cases) {
        CAPTURE(source);
        CHECK(bars(source) == "! " + std::string(error));
    }
    CHECK(bars("{{list}}") == "! line 1, column 1: a list or an object is no text");
}

TEST_CASE("template: rendering has its limits, and so has nesting")
{
    const Rendering small{.limits = {.octets = 10, .steps = 100}};
    CHECK(small("{{ name }} 6789") == "Ann 6789");
    CHECK(small("{{ name }} 6789012") == "! line 1, column 11: the text has more than 10 octets");
    CHECK(small("{% for a in list %}{% for b in list %}{% for c in list %}{% for d in list %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}") ==
          "! line 1, column 61: more than 100 steps");
    CHECK(small("{% set a = 'xxxxx' ~ 'yyyyy' %}{% set a = a ~ 'z' %}").ends_with("the text has more than 10 octets"));
    std::string deep, deep_bars;
    for (int i = 0; i < 100; ++i) {
        deep += "{% if a %}";
        deep_bars += "{{#if a}}";
    }
    CHECK(jinja(deep).ends_with("blocks are nested too deeply"));
    CHECK(bars(deep_bars).ends_with("blocks are nested too deeply"));
    CHECK(jinja("{{ " + std::string(100, '(') + "a" + std::string(100, ')') + " }}").ends_with("the expression is nested too deeply"));
    std::string chain = "{{ a", nots = "{% if ";
    for (int i = 0; i < 100; ++i) {
        chain += "|trim";
        nots += "not ";
    }
    CHECK(jinja(chain + " }}").ends_with("the expression is too long"));
    CHECK(jinja(nots + "a %}{% endif %}").ends_with("the expression is nested too deeply"));
    std::string many;
    for (int i = 0; i < 60'000; ++i)
        many += "{{a}}";
    CHECK(jinja(many).ends_with("the template has too many places"));
    CHECK(bars(many).ends_with("the template has too many places"));
}
