#include "tools/postconf.hpp"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "base/strings.hpp"
#include "catalogue/catalogue.hpp"
#include "config/paths.hpp"
#include "report/compose.hpp"
#include "report/params.hpp"
#include "report/template.hpp"
#include "tables/kinds.hpp"
#include "tls/versions.hpp"
#include "tools/postconf_edit.hpp"
#include "tools/postconf_master.hpp"
#include "tools/postconf_print.hpp"

namespace posthorn::tools {

namespace {

template <class T>
T or_fail(Result<T> result)
{
    if (!result)
        throw Failure(result.error().text());
    return std::move(*result);
}

/// A whole run; output is gathered, so that a failure leaves no half of it behind.
class PostconfRun {
public:
    explicit PostconfRun(const PostconfOptions& options)
        : options_(options), directory_(config::choose_config_directory(options.config_directory)),
          named_directory_(options.config_directory || (std::getenv("MAIL_CONFIG") && *std::getenv("MAIL_CONFIG")))
    {
    }

    void operator()()
    {
        const bool edits = options_.has('e') || options_.has('X') || options_.has('#') ||
                           ((options_.mode == 'p' || options_.mode == 'M' || options_.mode == 'F' || options_.mode == 'P') &&
                            !options_.arguments.empty() && options_.arguments[0].contains('=') && may_edit());
        switch (options_.mode) {
        case 'l': out_ = "flock\nfcntl\ndotlock\n"; return;
        case 'm':
            for (const auto& kind : tables::all_kinds())
                out_ += fmt::format("{}\n", kind.name);
            return;
        case 'a': out_ = "dovecot\n"; return;
        case 'A': out_ = "cyrus\n"; return;        // its mechanisms, not its library
        case 'b':
        case 't': show_templates(); return;
        case 'T': show_tls(); return;
        default: break;
        }
        if (edits)
            edit_configuration(options_, directory_, warnings_);
        else if (options_.mode == 'p')
            show_main();
        else
            show_master();
    }

    std::string out_;
    std::vector<std::string> warnings_;

private:
    /// "postconf name=value" is "postconf -e name=value", unless an option says that something is to be shown.
    bool may_edit() const
    {
        for (const char letter : {'d', 'f', 'h', 'H', 'j', 'n', 'o', 'x'})
            if (options_.has(letter))
                throw Failure(letter == 'd' ? fmt::format("specify one of -d -e") : fmt::format("specify one of -e -{}", letter));
        return true;
    }

    config::Snapshot defaults() const
    {
        return {config::this_host("postconf"), std::string{config::built_in_config_directory()}, catalogue::all_parameters()};
    }

    config::Snapshot written()
    {
        auto main_cf = or_fail(config::read_main_cf(directory_ + "/main.cf"));
        warnings_.insert(warnings_.end(), main_cf.warnings.begin(), main_cf.warnings.end());
        std::erase_if(main_cf.assignments, [&](const config::Assignment& assignment) {
            if (assignment.name != "process_name" && assignment.name != "process_id" && assignment.name != "service_name")
                return false;
            warnings_.push_back(fmt::format("{}: read-only parameter assignment: {}={}", main_cf.path, assignment.name, assignment.value));
            return true;
        });
        if (named_directory_)
            main_cf.assignments.insert(main_cf.assignments.begin(), config::Assignment{"config_directory", directory_, 0});
        const config::Snapshot snapshot{config::this_host("postconf"), directory_, main_cf, catalogue::all_parameters()};
        return options_.overrides.empty() ? snapshot : with_overrides(std::move(main_cf));
    }

    /// -o takes part in the computed defaults as well, so it is put into main.cf's place.
    config::Snapshot with_overrides(config::MainCf main_cf) const
    {
        main_cf.assignments.insert(main_cf.assignments.end(), options_.overrides.begin(), options_.overrides.end());
        return {config::this_host("postconf"), directory_, main_cf, catalogue::all_parameters()};
    }

    std::string main_path() const { return directory_ + "/main.cf"; }
    std::string master_path() const { return directory_ + "/master.cf"; }

    void show_main()
    {
        const bool defaults_only = options_.has('d');
        std::vector<config::MasterEntry> entries;
        std::optional<config::Snapshot> snapshot;
        if (!defaults_only)
            snapshot = written();
        if (const auto text = config::read_file(master_path()))
            entries = read_entries(master_path(), *text, warnings_);
        else
            warnings_.push_back(text.error().text());
        const Parameters parameters{defaults(), std::move(snapshot), std::move(entries)};
        const PrintManner manner = manner_of(options_);
        const auto show = [&](const std::string& name) {
            const auto written = defaults_only ? std::nullopt : parameters.written(name);
            if (!written && options_.has('n'))
                return;
            auto value = written ? *written : parameters.default_of(name).value_or("");
            if (options_.has('x'))
                value = parameters.expanded(name, value);
            out_ += print_parameter(nullptr, name, value, manner);
        };
        const std::string classes = !options_.classes.empty() ? options_.classes : "bsu";
        if (options_.arguments.empty())
            for (const auto& name : parameters.names(classes))
                show(name);
        for (const auto& name : options_.arguments) {
            if (parameters.exists(name, classes))
                show(name);
            else
                warnings_.push_back(fmt::format("{}: unknown parameter", name));
        }
        if (!defaults_only)
            parameters.warn_unused(main_path(), master_path(), true, options_.has('q'), warnings_);
    }

    /// The texts of notifications, as bounce_template_file or the named file has them; -b: for a reader's eye.
    void show_templates()
    {
        const config::Snapshot snapshot = written();
        const std::string path = options_.arguments.empty() ? snapshot.get(report::bounce_template_file) : options_.arguments.front();
        const report::Templates templates =
            path.empty() ? report::built_in_templates() : or_fail(report::parse_templates(or_fail(config::read_file(path)), path));
        const auto parameter = report::Options::from(snapshot, templates).parameter;
        for (const auto& [name, text] : {std::pair{"failure", &templates.failure},
                                         {"delay", &templates.delay},
                                         {"success", &templates.success},
                                         {"verify", &templates.verify}}) {
            if (options_.mode == 'b') {
                out_ += fmt::format("expanded_{}_text = <<EOF\n{}EOF\n\n", name, report::expand_template(text->text, parameter));
                continue;
            }
            out_ += fmt::format("{}_template = <<EOF\nCharset: {}\nFrom: {}\nSubject: {}\n", name, text->charset, text->from, text->subject);
            if (!text->postmaster_subject.empty())
                out_ += fmt::format("Postmaster-Subject: {}\n", text->postmaster_subject);
            out_ += fmt::format("\n{}EOF\n\n", text->text);
        }
    }

    void show_tls()
    {
        if (options_.tls_mode == "compile-version")
            out_ = tls::compile_version() + "\n";
        else if (options_.tls_mode == "run-version")
            out_ = tls::run_version() + "\n";
        else if (options_.tls_mode == "public-key-algorithms")
            out_ = fmt::format("{}\n", fmt::join(tls::public_key_algorithms(), "\n"));
        else
            throw Failure(fmt::format("unknown 'postconf -T' mode: {}", options_.tls_mode));
    }

    void show_master()
    {
        auto snapshot = written();
        const auto text = or_fail(config::read_file(master_path()));
        const auto entries = read_entries(master_path(), text, warnings_);
        const Parameters parameters{defaults(), std::move(snapshot), entries};
        out_ = list_master(options_, entries, parameters, warnings_);
        parameters.warn_unused(main_path(), master_path(), false, options_.has('q'), warnings_);
    }

    const PostconfOptions& options_;
    std::string directory_;
    bool named_directory_;
};

void say(std::string_view what, std::string_view text) { fmt::print(stderr, "postconf: {}{}\n", what, text); }

}  // namespace

int postconf(std::span<char*> args)
{
    std::vector<std::string> complaints;
    std::vector<std::string> warnings;
    std::optional<std::string> failure;
    try {
        const auto options = postconf_options(args, complaints);
        PostconfRun run{options};
        try {
            run();
        } catch (const ExpressionFailure& error) {
            run.warnings_.emplace_back(error.what());
            failure = "macro processing error";
        } catch (const Failure& error) {
            failure = error.what();
        }
        if (failure)
            run.out_.clear();
        warnings = std::move(run.warnings_);
        if (std::fwrite(run.out_.data(), 1, run.out_.size(), stdout) != run.out_.size() || std::fflush(stdout) != 0)
            failure = "write to standard output: " + errno_text(errno);
    } catch (const Failure& error) {
        failure = error.what();
    }
    for (const auto& line : complaints)
        say("", line);
    for (const auto& warning : warnings)
        say("warning: ", warning);
    if (failure)
        say("fatal: ", *failure);
    return failure ? 1 : 0;
}

}  // namespace posthorn::tools
