#include "migrate/translation.hpp"

#include "base/json.hpp"
#include "commands/new_instance.hpp"
#include "migrate/new_folder.hpp"
#include "migrate/queue_folder.hpp"
#include "migrate/show.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace posthorn::migrate {

namespace {

std::string line_of_verdict(const Verdict& verdict)
{
    const std::string_view becomes = verdict.kind == Verdict::Kind::becomes ? "becomes " : "";
    return fmt::format("  {}: {}: {}\n      {}{}\n", verdict.place.text(), verdict.where, verdict.statement, becomes, verdict.text);
}

std::size_t count(const Translation& translation, Verdict::Kind kind)
{
    return static_cast<std::size_t>(std::ranges::count(translation.verdicts, kind, &Verdict::kind));
}

}  // namespace

std::string Place::text() const { return line > 0 ? fmt::format("{}, line {}", file, line) : file; }

std::string_view to_text(Verdict::Kind kind)
{
    switch (kind) {
    case Verdict::Kind::becomes: return "becomes";
    case Verdict::Kind::nothing_needed: return "nothing needed";
    case Verdict::Kind::left_out: return "not carried over";
    }
    return "";
}

const Setting* Translation::find(std::string_view name) const
{
    const auto found = std::ranges::find(settings, name, &Setting::name);
    return found == settings.end() ? nullptr : &*found;
}

bool all_carried(const Translation& translation) { return count(translation, Verdict::Kind::left_out) == 0 && translation.refusals.empty(); }

std::string main_cf_text(const Translation& translation, const std::string& source)
{
    std::string text = fmt::format("# Made by posthorn migrate of {}; above each setting stands what it comes of.\n", source);
    for (const Setting& setting : translation.settings) {
        for (const std::string& because : setting.because)
            text += fmt::format("# {}\n", because);
        // main.cf knows "$name": what comes of Exim with a dollar is meant so, or has none.
        std::string value;
        for (const char c : setting.value)
            value += c == '\n' ? ' ' : c;
        text += fmt::format("{} ={}{}\n", setting.name, value.empty() ? "" : " ", value);
    }
    return text;
}

std::string master_cf_text(const Translation& translation, const std::string& source)
{
    std::string text = fmt::format("# Made by posthorn migrate of {}.\n", source);
    const std::string stock = commands::stock_master_cf("smtp");
    const std::size_t first = stock.find("smtp inet"), behind = stock.find('\n', first) + 1;
    text += stock.substr(0, first);
    for (const std::string& listener : translation.listeners) {
        text += fmt::format("{} inet n -       n       -       {}       smtpd\n", listener, translation.smtp_processes);
        if (std::ranges::find(translation.wrapped, listener) != translation.wrapped.end())
            text += "    -o smtpd_tls_wrappermode=yes\n";
    }
    text += stock.substr(behind);
    for (const ServiceLines& lines : translation.services) {
        for (const std::string& because : lines.because)
            text += fmt::format("# {}\n", because);
        text += lines.text;
    }
    return text;
}

Result<Survey> write_directory(const Translation& translation, const std::string& source, const std::string& to)
{
    if (!translation.refusals.empty())
        return Error{
            fmt::format("nothing was written, since this must not be lost: {}. Take it out of a copy of {}, and write by hand what it asked for",
                        fmt::join(translation.refusals, "; "), source)};
    NewFolder made(to);
    TRY_VOID(made.is_free());
    if (::mkdir(made.beside().c_str(), 0755) != 0)
        return system_error("create " + made.beside(), errno);
    const auto put = [&](const std::string& name, const std::string& text, mode_t mode) {
        struct stat like{};
        like.st_uid = ::geteuid();
        like.st_gid = ::getegid();
        like.st_mode = mode;
        like.st_atim = like.st_mtim = {.tv_sec = std::time(nullptr), .tv_nsec = 0};
        return write_new_file(made.beside() + "/" + name, text, like);
    };
    TRY_VOID(put("main.cf", main_cf_text(translation, source), 0644));
    TRY_VOID(put("master.cf", master_cf_text(translation, source), 0644));
    for (const TableText& table : translation.tables)
        TRY_VOID(put(table.name, table.content, table.secret ? 0600 : 0644));
    if (::chmod(made.beside().c_str(), 0755) != 0)                 // whatever umask is
        return system_error("set the mode of " + made.beside(), errno);
    TRY_VOID(sync_folder(made.beside()));
    TRY_VOID(made.would_start(source));
    TRY_VOID(made.land());
    return survey(made.path());
}

std::string as_text(const Translation& translation, const Origin& origin, const Survey* written)
{
    std::string text = fmt::format("{}: {} statements; {} become something, {} need nothing, {} are not carried over\n", origin.source,
                                   translation.verdicts.size(), count(translation, Verdict::Kind::becomes),
                                   count(translation, Verdict::Kind::nothing_needed), count(translation, Verdict::Kind::left_out));
    const auto section = [&](std::string_view title, auto wanted) {
        std::string lines;
        for (const Verdict& verdict : translation.verdicts)
            if (wanted(verdict))
                lines += line_of_verdict(verdict);
        if (!lines.empty())
            text += fmt::format("\n{}\n{}", title, lines);
    };
    if (!translation.refusals.empty()) {
        text += "\nNothing is written while these are in it: what they refuse would be let in\n";
        for (const std::string& refusal : translation.refusals)
            text += fmt::format("  {}\n", refusal);
    }
    section("NOT REFUSED ANY MORE: what these refuse is taken here, unless you do something about it", [](const Verdict& v) { return v.loud; });
    section("Not carried over", [](const Verdict& v) { return v.kind == Verdict::Kind::left_out && !v.loud; });
    section("Becomes", [](const Verdict& v) { return v.kind == Verdict::Kind::becomes; });
    section("Nothing needed", [](const Verdict& v) { return v.kind == Verdict::Kind::nothing_needed; });
    text += "\n";
    if (!written)
        return text + fmt::format("Nothing was written. `posthorn migrate {} {} --to DIR` writes a configuration directory.\n", origin.option,
                                  origin.source);
    if (const std::string findings = findings_text(*written); !findings.empty())
        text += fmt::format("What is to be said of {}\n{}\n", written->directory, findings);
    return text +
           fmt::format(
               "Written to {}: main.cf, master.cf, {} tables. Ask it: `posthorn migrate --ask FILE {}`. To start: stop {}, then `posthorn -c {} start`.\n",
               written->directory, translation.tables.size(), written->directory, origin.system, written->directory);
}

std::string as_json(const Translation& translation, const std::string& source, const Survey* written)
{
    std::string statements, refusals;
    for (const Verdict& verdict : translation.verdicts)
        statements += fmt::format("{}{{\"file\": {}, \"line\": {}, \"where\": {}, \"statement\": {}, \"verdict\": {}, \"text\": {}, \"loud\": {}}}",
                                  statements.empty() ? "" : ", ", json_text(verdict.place.file), verdict.place.line, json_text(verdict.where),
                                  json_text(verdict.statement), json_text(to_text(verdict.kind)), json_text(verdict.text), verdict.loud);
    for (const std::string& refusal : translation.refusals)
        refusals += (refusals.empty() ? "" : ", ") + json_text(refusal);
    return fmt::format("{{\"file\": {}, \"carried\": {}, \"statements\": [{}], \"refusals\": [{}], \"written\": {}, \"findings\": [{}]}}\n",
                       json_text(source), all_carried(translation), statements, refusals, written ? json_text(written->directory) : "null",
                       written ? findings_json(written->findings) : std::string());
}

}  // namespace posthorn::migrate
