#include "tools/postconf_edit.hpp"

#include <fmt/format.h>

#include "base/strings.hpp"
#include "config/edit.hpp"
#include "tools/postconf_master.hpp"

namespace posthorn::tools {

namespace {

char edit_letter(const PostconfOptions& options) { return options.has('X') ? 'X' : options.has('#') ? '#' : 'e'; }

/// What -e, -X or -# may be given: one line, no comment.
std::string_view argument_of(std::string_view text)
{
    if (text.contains('\n'))
        throw Failure("-e, -X, or -# accepts no multi-line input");
    while (!text.empty() && is_space(text.front()))
        text.remove_prefix(1);
    if (text.starts_with('#'))
        throw Failure("-e, -X, or -# accepts no comment input");
    return text;
}

config::Assignment assignment_of(std::string_view text)
{
    auto assignment = config::parse_assignment(text);
    if (!assignment)
        throw Failure(assignment.error().what());
    return std::move(*assignment);
}

void edit_main(const PostconfOptions& options, const std::string& path, std::vector<std::string>& warnings)
{
    std::vector<config::Assignment> wanted;
    const char letter = edit_letter(options);
    for (const auto& argument : options.arguments) {
        const auto text = argument_of(argument);
        if (letter == 'e') {
            wanted.push_back(assignment_of(text));
            continue;
        }
        if (text.contains('='))
            throw Failure(fmt::format("specify one of -e -{}", letter));
        wanted.push_back({std::string{trim(text)}, {}, 0});
    }
    const auto edit = letter == 'e' ? config::MainEdit::set : letter == 'X' ? config::MainEdit::remove : config::MainEdit::comment_out;
    const auto done =
        config::rewrite(path, [&](std::string_view old) -> Result<std::string> { return config::edit_main_cf(old, edit, wanted, path, warnings); });
    if (!done)
        throw Failure(done.error().text());
}

std::vector<std::string_view> path_of(std::string_view text, std::size_t parts, std::string_view complaint)
{
    const auto words = split(text, "/");
    if (words.size() != parts)
        throw Failure(std::string{complaint});
    return words;
}

/// -Me "name/type=entry", -MX and -M# "name/type".
config::MasterRequest entry_request(std::string_view text, char letter, std::vector<std::string>& warnings)
{
    constexpr std::string_view complaint = "-Me, -MX or -M# requires service_name/type";
    config::MasterRequest request;
    request.shown = text;
    if (letter != 'e') {
        if (text.contains('='))
            throw Failure(fmt::format("specify one of -e -{}", letter));
        const auto path = path_of(text, 2, complaint);
        request.service = path[0];
        request.type = path[1];
        request.edit = letter == 'X' ? config::MasterEdit::remove : config::MasterEdit::comment_out;
        return request;
    }
    const auto assignment = assignment_of(text);
    const auto path = path_of(assignment.name, 2, complaint);
    auto entry = config::parse_master_entry(assignment.value, warnings);
    if (!entry) {
        const auto& what = entry.error().what();
        throw Failure(what == "bad field count" ? fmt::format("{}: \"{}\"", what, text) : what);
    }
    request.service = path[0];
    request.type = path[1];
    request.edit = config::MasterEdit::replace;
    request.entry = std::move(*entry);
    return request;
}

/// -Fe "name/type/field=value".
config::MasterRequest field_request(std::string_view text, std::vector<std::string>& warnings)
{
    const auto assignment = assignment_of(text);
    const auto path = path_of(assignment.name, 3, "-Fe or -FX requires service_name/type/field_name");
    const auto field = field_index(path[2]);
    config::MasterRequest request{.service = std::string{path[0]}, .type = std::string{path[1]}, .shown = std::string{text}};
    if (field < 7) {
        if (assignment.value.empty() || split(assignment.value).size() != 1)
            throw Failure(fmt::format("invalid {} field \"{}\" in \"{}\"", path[2], assignment.value, assignment.value));
        if (const auto valid = config::check_master_field(field, assignment.value, assignment.value); !valid)
            throw Failure(valid.error().what());
        request.change = [field, value = assignment.value](config::MasterEntry& entry) { entry.columns[field] = value; };
        return request;
    }
    config::MasterEntry parsed;
    if (const auto valid = config::parse_command(parsed, assignment.value, warnings); !valid)
        throw Failure(fmt::format("{}: \"{}\"", valid.error().what(), text));
    request.change = [parsed](config::MasterEntry& entry) {
        entry.command = parsed.command;
        entry.options = parsed.options;
    };
    return request;
}

/// -Pe "name/type/parameter=value", -PX "name/type/parameter".
config::MasterRequest parameter_request(std::string_view text, char letter)
{
    constexpr std::string_view complaint = "-Pe or -PX requires service_name/type/parameter";
    if (letter == 'X') {
        const auto path = path_of(text, 3, complaint);
        config::MasterRequest request{.service = std::string{path[0]}, .type = std::string{path[1]}, .shown = std::string{text}};
        request.change = [name = std::string{path[2]}](config::MasterEntry& entry) { entry.remove_override(name); };
        return request;
    }
    const auto assignment = assignment_of(text);
    const auto path = path_of(assignment.name, 3, complaint);
    if (assignment.value.find_first_of(" \t\r\n") != assignment.value.npos)
        throw Failure("-Pe does not accept whitespace in parameter value");
    config::MasterRequest request{.service = std::string{path[0]}, .type = std::string{path[1]}, .shown = std::string{text}};
    request.change = [name = std::string{path[2]}, value = assignment.value](config::MasterEntry& entry) { entry.set_override(name, value); };
    return request;
}

void edit_master(const PostconfOptions& options, const std::string& path, std::vector<std::string>& warnings)
{
    const char letter = edit_letter(options);
    std::vector<config::MasterRequest> requests;
    for (const auto& argument : options.arguments) {
        const auto text = argument_of(argument);
        requests.push_back(options.mode == 'M'   ? entry_request(text, letter, warnings)
                           : options.mode == 'F' ? field_request(text, warnings)
                                                 : parameter_request(text, letter));
    }
    const auto done = config::rewrite(path, [&](std::string_view old) { return config::edit_master_cf(old, requests, path, warnings); });
    if (!done)
        throw Failure(done.error().text());
}

}  // namespace

void edit_configuration(const PostconfOptions& options, const std::string& directory, std::vector<std::string>& warnings)
{
    if (options.arguments.empty())
        throw Failure(edit_letter(options) == 'e' ? "-e requires name=value argument" : "missing service argument");
    if (options.mode == 'p')
        edit_main(options, directory + "/main.cf", warnings);
    else
        edit_master(options, directory + "/master.cf", warnings);
}

}  // namespace posthorn::tools
