#include "manual/render.hpp"

#include "catalogue/catalogue.hpp"
#include "catalogue/unserved.hpp"
#include "config/known.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace posthorn::manual {

namespace {

/// A text that troff prints as it stands.
std::string plain(std::string_view text)
{
    std::string out;
    for (const char c : text)
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else
            out += c;
    // A line that begins with a dot or a quote would be a request.
    return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

std::string head(std::string_view name, int section, std::string_view summary)
{
    std::string upper(name);
    std::ranges::transform(upper, upper.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    return fmt::format(
        ".\\\" Made by scripts/manual from the program's own tables: change those.\n.TH \"{}\" {} \"\" \"Posthorn\"\n.SH NAME\n{} \\- {}\n", upper,
        section, plain(name), plain(summary));
}

std::string items(std::string_view title, const std::vector<Option>& list)
{
    if (list.empty())
        return {};
    std::string out = fmt::format(".SH {}\n", title);
    for (const Option& one : list)
        out += fmt::format(".TP\n.B {}\n{}\n", plain(one.form), plain(one.does));
    return out;
}

/// What is told of one parameter: its declaration, or Postfix's table.
struct Told {
    std::string initial, kind, limits;
    catalogue::About about;
    bool own = false;
};

std::string kind_word(config::KnownKind kind)
{
    switch (kind) {
    case config::KnownKind::boolean: return "yes or no";
    case config::KnownKind::integer: return "number";
    case config::KnownKind::time: return "time";
    case config::KnownKind::size: return "octets";
    default: return "text";
    }
}

std::string kind_word(config::Kind kind)
{
    switch (kind) {
    case config::Kind::boolean: return "yes or no";
    case config::Kind::integer: return "number";
    case config::Kind::time: return "time";
    case config::Kind::size: return "octets";
    default: return "text";
    }
}

std::string limits(const std::string& kind, std::int64_t least, std::int64_t most)
{
    if (kind == "yes or no")
        return {};
    if (kind == "text")
        return least > 0 ? "not empty" : "";
    const bool bounded = most > 0 && most < 2147483647;
    if (least > 0 && bounded)
        return fmt::format("{} to {}", least, most);
    return bounded ? fmt::format("at most {}", most) : least > 0 ? fmt::format("at least {}", least) : "";
}

std::map<std::string, Told> told_of_all()
{
    std::map<std::string, Told> all;
    for (const config::KnownParameter& parameter : config::known_parameters()) {
        Told& told = all[std::string(parameter.name)];
        told.initial = parameter.initial;
        told.kind = kind_word(parameter.kind);
        told.limits = limits(told.kind, parameter.least, parameter.most);
        told.about = catalogue::about(parameter.name);
    }
    for (const auto list : catalogue::all_parameters())
        for (const config::ParamInfo& info : list) {
            if (!info.own && !info.is_family())
                continue;
            Told& told = all[std::string(info.name)];
            told.initial = info.initial;
            told.kind = kind_word(info.kind);
            told.limits = limits(told.kind, info.least, info.most);
            told.about = catalogue::about(info.name);
            told.own = info.own;
        }
    return all;
}

std::string standing(const Told& told)
{
    switch (told.about.standing) {
    case catalogue::Standing::acted_on:
    case catalogue::Standing::informative: return std::string(told.about.text);
    case catalogue::Standing::obsolete: return fmt::format("{} Obsolete: set {}.", told.about.text, told.about.instead);
    case catalogue::Standing::by_design: return fmt::format("Decides nothing here: {}.", told.about.text);
    case catalogue::Standing::unserved: return fmt::format("Accepted, not acted on yet: {}.", told.about.text);
    }
    return {};
}

bool is_acted_on(const Told& told)
{
    return told.about.standing != catalogue::Standing::by_design && told.about.standing != catalogue::Standing::unserved;
}

std::string initial(const Told& told)
{
    return told.initial.empty() ? "empty" : told.initial == "(site)" ? "chosen by the installation or the host" : told.initial;
}

std::string kind_and_limits(const Told& told) { return told.limits.empty() ? told.kind : fmt::format("{}, {}", told.kind, told.limits); }

/// In a table's cell of Markdown.
std::string cell(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        if (c == '|' || c == '<' || c == '*' || c == '\\')
            out += '\\';
        out += c;
    }
    return out;
}

}  // namespace

std::string troff(const Page& page)
{
    std::string out = head(page.name, page.section, page.summary);
    if (!page.synopsis.empty()) {
        out += ".SH SYNOPSIS\n.nf\n";
        for (const std::string_view line : page.synopsis)
            out += plain(line) + "\n";
        out += ".fi\n";
    }
    out += ".SH DESCRIPTION\n";
    for (const std::string_view paragraph : page.text)
        out += fmt::format(".PP\n{}\n", plain(paragraph));
    out += items("OPTIONS", page.options);
    out += items("\"EXIT STATUS\"", page.statuses);
    if (!page.parameters.empty()) {
        out += ".SH PARAMETERS\n";
        const auto all = told_of_all();
        for (const std::string_view wanted : page.parameters)
            for (const auto& [name, told] : all)
                if (wanted.ends_with('*') ? name.starts_with(wanted.substr(0, wanted.size() - 1)) && is_acted_on(told) : name == wanted)
                    out += fmt::format(".TP\n.BR {} \" ({})\"\n{}\n", name, plain(told.initial.contains('"') ? "see main.cf(5)" : initial(told)),
                                       plain(standing(told)));
    }
    out += ".SH \"SEE ALSO\"\n";
    std::string see;
    for (const std::string_view other : page.see)
        see += fmt::format("{}, ", plain(other));
    return out + see + "main.cf(5), posthorn(1)\n";
}

std::string parameters_troff()
{
    std::string out = head("main.cf", 5, "parameters of the mail system");
    out +=
        ".SH DESCRIPTION\n"
        "A line \"name = value\" sets a parameter; a line that begins with a blank goes on with the one before; a line that begins with # is a comment. The last "
        "setting of a name counts.\n.PP\n"
        "In a value, $name, ${name} and $(name) stand for the value of another parameter; ${name?text} and ${name:text} for a text where it is not empty, or is; "
        "${name?{a}:{b}} for either; ${{a} == {b} ? {x} : {y}} compares, with == != < <= > >=, as numbers where both are.\n.PP\n"
        "Times have a unit: s, m, h, d, w. Lists are separated by blanks or commas; in many of them /file stands for its lines, and type:table for what is found "
        "there.\n.PP\nmaster.cf(5) may give a service values of its own. postconf(1) shows and changes values; \\fBpostfix check\\fR names what is set and decides nothing.\n"
        ".SH PARAMETERS\n";
    for (const auto& [name, told] : told_of_all())
        out += fmt::format(".TP\n.B {}\nDefault: {}\n.br\n({}{})\n.br\n{}\n", name, plain(initial(told)), kind_and_limits(told),
                           told.own ? "; Posthorn's own" : "", plain(standing(told)));
    return out + ".SH \"SEE ALSO\"\npostconf(1), master.cf(5), posthorn(1)\n";
}

std::string parameters_markdown()
{
    const auto all = told_of_all();
    std::size_t own = 0, by_design = 0, unserved = 0;
    for (const auto& [name, told] : all) {
        own += told.own;
        unserved += told.about.standing == catalogue::Standing::unserved;
        by_design += told.about.standing == catalogue::Standing::by_design;
    }
    std::string out = fmt::format(
        "# Parameters\n\nMade by `scripts/manual` from the declarations; do not edit. {} parameters, {} of them our own. {} decide nothing "
        "here, since what they are for in\nPostfix is decided otherwise, and {} are accepted and not acted on yet: each says what is so instead, and `postfix check` names "
        "those that are set.\n\n"
        "| parameter | default | kind | what it does |\n|---|---|---|---|\n",
        all.size(), own, by_design, unserved);
    for (const auto& [name, told] : all)
        out += fmt::format("| {}{} | {} | {} | {} |\n", name, told.own ? " (own)" : "", cell(initial(told)), kind_and_limits(told),
                           cell(standing(told)));
    return out;
}

std::map<std::string, std::string> all_files()
{
    std::map<std::string, std::string> files{{"docs/parameters.md", parameters_markdown()}, {"man/main.cf.5", parameters_troff()}};
    for (const auto pages : {command_pages(), service_pages()})
        for (const Page& page : pages)
            files[fmt::format("man/{}.{}", page.name, page.section)] = troff(page);
    return files;
}

}  // namespace posthorn::manual
