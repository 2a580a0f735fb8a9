#include "commands/postfix_tls.hpp"

#include "base/strings.hpp"
#include "commands/command.hpp"
#include "commands/instances.hpp"
#include "commands/script.hpp"
#include "config/known.hpp"
#include "config/main_cf.hpp"
#include "tls/make_certificate.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>

namespace posthorn::commands {

namespace {

constexpr auto century = std::chrono::hours(24 * 36525);

struct Algorithm {
    std::string_view name, key_prefix, certificate_prefix, bits, key_parameter, certificate_parameter;
};
constexpr std::array algorithms{
    Algorithm{"rsa", "key-", "cert-", "2048", "smtpd_tls_key_file", "smtpd_tls_cert_file"},
    Algorithm{"ecdsa", "eckey-", "eccert-", "secp256r1", "smtpd_tls_eckey_file", "smtpd_tls_eccert_file"},
};
const Algorithm* algorithm_of(std::string_view name)
{
    const auto found = std::ranges::find(algorithms, name, &Algorithm::name);
    return found == algorithms.end() ? nullptr : &*found;
}

struct TlsWish {
    std::string random, algorithm = "rsa", bits, key_file = "rsa", host;
    std::vector<std::string> names;
};

class Tls {
public:
    Tls(const config::Snapshot& snapshot, Script& script) : snapshot_(snapshot), script_(script), directory_(snapshot.config_directory()) {}

    int enable_client(const TlsWish& wish)
    {
        if (!all_default("smtp"))
            return suggest(
                "client",
                {"smtp_tls_security_level = may", "smtp_tls_loglevel = 1", "smtp_tls_session_cache_database = lmdb:${data_directory}/smtp_scache"},
                {});
        set_parameters(directory_, with_random(wish, {{"smtp_tls_security_level", "may"},
                                                      {"smtp_tls_loglevel", "1"},
                                                      {"smtp_tls_session_cache_database", "lmdb:${data_directory}/smtp_scache"}}));
        script_.info("Enabled opportunistic TLS in the Postfix SMTP client.");
        say_reload();
        return 0;
    }

    int enable_server(const TlsWish& wish)
    {
        if (!all_default("smtpd"))
            return suggest("server", {"smtpd_tls_security_level = may", "smtpd_tls_loglevel = 1"},
                           {"You can use \"postfix tls new-server-cert\" to create a new certificate.",
                            "Or, \"postfix tls new-server-key\" to also force a new private key.",
                            "Where DANE TLSA records are published, they have to change before the key does: RFC 7671 section 8."});
        Made made;
        if (const int refused = make(wish, "", made))
            return refused;
        set_parameters(directory_, with_random(wish, {{"smtpd_tls_security_level", "may"},
                                                      {"smtpd_tls_received_header", "yes"},
                                                      {"smtpd_tls_loglevel", "1"},
                                                      {std::string(made.algorithm->certificate_parameter), made.certificate},
                                                      {std::string(made.algorithm->key_parameter), made.key}}));
        script_.info("Enabled opportunistic TLS in the Postfix SMTP server");
        script_.info("New TLS private key and certificate deployed.");
        say_reload();
        say_request(made, false);
        script_.info("To generate TLSA records run:");
        script_.info("  # postfix tls output-server-tlsa [-h <hostname>] ");
        script_.info("(TLSA records of DANE that are there already do not fit the new key any more: change them at once.)");
        return 0;
    }

    int new_server(const TlsWish& wish, bool new_key)
    {
        std::string key;
        const Algorithm* algorithm = algorithm_of(wish.algorithm);
        if (!new_key && algorithm)
            if (const std::string deployed = deployed_key(*algorithm); !deployed.empty())
                if (const auto text = config::read_file(deployed))
                    key = *text;
        const bool kept = !key.empty();
        Made made;
        if (const int refused = make(wish, std::move(key), made))
            return refused;
        script_.info("New private key and self-signed certificate created. To deploy run:");
        script_.info(fmt::format("  # postfix tls deploy-server-cert {} {}", made.certificate, made.key));
        say_request(made, true);
        script_.info("To generate TLSA records run:");
        script_.info(fmt::format("  # postfix tls output-server-tlsa [-h <hostname>] {}", made.key));
        if (!kept)
            script_.info("(deploy after updating the DNS and waiting for stale RRs to expire).");
        return 0;
    }

    int deploy(const std::string& certificate_name, const std::string& key_name)
    {
        const std::string certificate_path = place(certificate_name), key_path = place(key_name);
        const auto key = config::read_file(key_path);
        const auto algorithm = key ? tls::key_algorithm(*key) : Result<std::string>(Error{"no private key"});
        if (!algorithm)
            return script_.fatal(fmt::format("no private key found in file: {}", key_path));
        const Algorithm* known = algorithm_of(*algorithm);
        if (!known)
            return script_.fatal(fmt::format("Unsupported public key algorithm: {}", *algorithm));
        const auto certificate = config::read_file(certificate_path);
        const auto fits = certificate ? tls::certificate_fits(*certificate, *key) : Result<bool>(Error{"no certificate"});
        if (!fits)
            return script_.fatal(fmt::format("no certificate found in file: {}", certificate_path));
        if (!*fits)
            return script_.fatal(fmt::format("Certificate in {} does not match key in {}", certificate_path, key_path));
        set_parameters(directory_, {{std::string(known->certificate_parameter), certificate_path}, {std::string(known->key_parameter), key_path}});
        script_.info("New TLS private key and certificate deployed.");
        say_reload();
        return 0;
    }

    int request(const TlsWish& wish)
    {
        const auto key = usable_key(wish.key_file);
        if (!key)
            return script_.fatal("No usable keyfile specified or configured");
        const auto text = tls::certificate_request(key->second, names(wish));
        if (!text)
            return script_.fatal(fmt::format("{}: {}", key->first, text.error().what()));
        fmt::print("{}", *text);
        return 0;
    }

    int tlsa(const TlsWish& wish)
    {
        const std::vector<std::string> both{"rsa", "ecdsa"};
        const std::string host = wish.host.empty() ? snapshot_.text("myhostname") : wish.host;
        std::string out;
        for (const std::string& name : wish.names.empty() ? both : wish.names)
            if (const auto key = usable_key(name))
                if (const auto digest = tls::public_key_digest(key->second))
                    out += fmt::format("; {}\n_25._tcp.{}. IN TLSA 3 1 1 {}\n", key->first, host, *digest);
        if (out.empty())
            return script_.fatal("No usable keyfiles specified or configured");
        fmt::print("{}", out);
        return 0;
    }

    /// Whether every PROGRAM_tls_... and the like has its default.
    bool all_default(std::string_view program) const
    {
        for (const config::KnownParameter& parameter : config::known_parameters()) {
            const bool concerns = parameter.name.starts_with(fmt::format("{}_tls_", program)) ||
                                  parameter.name == fmt::format("{}_use_tls", program) || parameter.name == fmt::format("{}_enforce_tls", program);
            if (concerns && snapshot_.definition(parameter.name) && snapshot_.as_written(parameter.name) != snapshot_.default_of(parameter.name))
                return false;
        }
        return true;
    }

private:
    struct Made {
        const Algorithm* algorithm = nullptr;
        std::string certificate, key;
    };
    using Settings = std::vector<std::pair<std::string, std::string>>;

    std::string place(const std::string& name) const { return name.starts_with('/') ? name : directory_ + "/" + name; }

    std::vector<std::string> names(const TlsWish& wish) const { return wish.names.empty() ? std::vector{snapshot_.text("myhostname")} : wish.names; }

    std::string deployed_key(const Algorithm& algorithm) const
    {
        const std::string file = snapshot_.text(algorithm.key_parameter);
        return file.empty() || file == "none" ? "" : place(file);
    }

    /// A file, or the configured one of an algorithm: its path and text.
    std::optional<std::pair<std::string, std::string>> usable_key(const std::string& name) const
    {
        const Algorithm* algorithm = algorithm_of(name);
        const std::string path = algorithm ? deployed_key(*algorithm) : place(name);
        if (path.empty())
            return std::nullopt;
        auto text = config::read_file(path);
        if (!text || !tls::key_algorithm(*text))
            return std::nullopt;
        return std::pair{path, std::move(*text)};
    }

    void write(const std::string& path, const std::string& text, mode_t mode) const
    {
        const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (file < 0)
            throw Failure(fmt::format("create {}: {}", path, errno_text(errno)), 1);
        errno = ENOSPC;                                        // what a write that takes less would say the next time
        const bool whole = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
        const int trouble = errno;
        ::close(file);
        if (!whole) {
            ::unlink(path.c_str());
            throw Failure(fmt::format("write {}: {}", path, errno_text(trouble)), 1);
        }
    }

    /// The files of a new certificate; of a new key too unless `key` has one. 0, or the status of a refusal.
    int make(const TlsWish& wish, std::string key, Made& made)
    {
        made.algorithm = algorithm_of(wish.algorithm);
        if (!made.algorithm)
            return script_.fatal(fmt::format("Unsupported public key algorithm: {}", printable(wish.algorithm)));
        if (key.empty()) {
            const std::string bits = wish.bits.empty() ? std::string(made.algorithm->bits) : wish.bits;
            auto fresh = tls::make_private_key(made.algorithm->name, bits);
            if (!fresh) {
                script_.warning(fresh.error().what());
                return script_.fatal(fmt::format("error generating new {} {} private key", made.algorithm->name, printable(bits)));
            }
            key = std::move(*fresh);
        }
        tls::CertificateWish certificate(names(wish).front());
        certificate.dns_names = names(wish);
        certificate.lifetime = century;
        certificate.private_key = key;
        const tls::Pem pem = tls::make_certificate(certificate);
        const std::time_t now = std::time(nullptr);
        std::tm parts{};
        ::gmtime_r(&now, &parts);
        char stamp[32];
        std::strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &parts);
        made.key = fmt::format("{}/{}{}.pem", directory_, made.algorithm->key_prefix, stamp);
        made.certificate = fmt::format("{}/{}{}.pem", directory_, made.algorithm->certificate_prefix, stamp);
        write(made.key, key, 0600);
        try {
            write(made.certificate, pem.certificate, 0644);
        } catch (const Failure&) {
            ::unlink(made.key.c_str());                        // a key without a certificate is of no use
            throw;
        }
        return 0;
    }

    int suggest(std::string_view side, std::initializer_list<std::string_view> settings, std::initializer_list<std::string_view> further)
    {
        script_.info(fmt::format("*** Non-default SMTP {} TLS settings detected, no changes made.", side));
        script_.info(fmt::format("For opportunistic TLS in the Postfix SMTP {}, the below settings", side));
        script_.info("are typical:");
        for (const std::string_view setting : settings)
            script_.info(fmt::format("  {}", setting));
        for (const std::string_view line : further)
            script_.info(std::string(line));
        return 0;
    }

    void say_reload()
    {
        script_.info("Run the command:");
        script_.info("  # postfix reload");
        script_.info("if you want the new settings to take effect immediately.");
    }

    void say_request(const Made& made, bool to_be_deployed)
    {
        script_.info("To generate a CSR run:");
        script_.info(fmt::format("  # postfix tls output-server-csr -k {} [<hostname> ...]", made.key));
        script_.info(fmt::format("Save the signed certificate chain in {}{}.", made.certificate, to_be_deployed ? ", and deploy as above" : ""));
    }

    static Settings with_random(const TlsWish& wish, Settings settings)
    {
        if (!wish.random.empty())
            settings.emplace_back("tls_random_source", wish.random);
        return settings;
    }

    const config::Snapshot& snapshot_;
    Script& script_;
    std::string directory_;
};

struct Subcommand {
    std::string_view name, letters, arguments;
    int least, most;                        // words that are no options
    int (*run)(Tls& tls, const TlsWish& wish);
};
constexpr int any = 1 << 20;
constexpr std::array subcommands{
    Subcommand{"enable-client", "+r:", "[-r devrandom]", 0, 0, [](Tls& tls, const TlsWish& wish) { return tls.enable_client(wish); }},
    Subcommand{"enable-server", "+r:a:b:", "[-r devrandom] [-a algorithm] [-b bits ] [hostname ...]", 0, any,
               [](Tls& tls, const TlsWish& wish) { return tls.enable_server(wish); }},
    Subcommand{"new-server-key", "+a:b:", "[-a algorithm] [-b bits ] [hostname ...]", 0, any,
               [](Tls& tls, const TlsWish& wish) { return tls.new_server(wish, true); }},
    Subcommand{"new-server-cert", "+a:b:", "[-a algorithm] [-b bits ] [hostname ...]", 0, any,
               [](Tls& tls, const TlsWish& wish) { return tls.new_server(wish, false); }},
    Subcommand{"deploy-server-cert", "+", "certfile keyfile", 2, 2,
               [](Tls& tls, const TlsWish& wish) { return tls.deploy(wish.names[0], wish.names[1]); }},
    Subcommand{"output-server-csr", "+k:", "[-k keyfile] [hostname ...]", 0, any, [](Tls& tls, const TlsWish& wish) { return tls.request(wish); }},
    Subcommand{"output-server-tlsa", "+h:", "[-h hostname] [keyfile ...]", 0, any, [](Tls& tls, const TlsWish& wish) { return tls.tlsa(wish); }},
    Subcommand{"all-default-client", "+", "", 0, 0, [](Tls& tls, const TlsWish&) { return tls.all_default("smtp") ? 0 : 1; }},
    Subcommand{"all-default-server", "+", "", 0, 0, [](Tls& tls, const TlsWish&) { return tls.all_default("smtpd") ? 0 : 1; }},
};

bool is_host_name(std::string_view name)
{
    return !name.empty() && name.size() <= 253 && std::ranges::all_of(name, [](char c) {
        return c == '.' || c == '-' || c == '*' || c == '_' || std::isalnum(static_cast<unsigned char>(c));
    });
}

}  // namespace

int postfix_tls(const config::Snapshot& snapshot, std::span<char*> words)
{
    Script script(snapshot, "postfix-tls-script");
    const std::string_view asked = words.empty() ? "" : words.front();
    const auto found = std::ranges::find(subcommands, asked, &Subcommand::name);
    if (found == subcommands.end()) {
        script.error(fmt::format("unknown tls command: '{}'", printable(asked)));
        std::string names;
        for (const Subcommand& one : subcommands)
            names += (names.empty() ? "" : names.contains('(') ? ", " : " (or ") + std::string(one.name);
        return script.fatal(fmt::format("usage: postfix tls {})", names));
    }
    const auto usage = [&] {
        return script.fatal(fmt::format("usage: postfix tls {}{}{}", found->name, found->arguments.empty() ? "" : " ", found->arguments));
    };
    TlsWish wish;
    std::vector<char*> arguments(words.begin(), words.end());
    arguments.push_back(nullptr);
    ::optind = 1;
    ::opterr = 0;
    for (int option; (option = ::getopt(static_cast<int>(words.size()), arguments.data(), found->letters.data())) > 0;) {
        switch (option) {
        case 'a': wish.algorithm = ::optarg; break;
        case 'b': wish.bits = ::optarg; break;
        case 'h': wish.host = ::optarg; break;
        case 'k': wish.key_file = ::optarg; break;
        case 'r': wish.random = ::optarg; break;
        default: return usage();
        }
    }
    for (int at = ::optind; at < static_cast<int>(words.size()); ++at)
        wish.names.emplace_back(words[static_cast<std::size_t>(at)]);
    if (static_cast<int>(wish.names.size()) < found->least || static_cast<int>(wish.names.size()) > found->most)
        return usage();
    const bool hosts = found->name != "deploy-server-cert" && found->name != "output-server-tlsa";
    for (const std::string& name : wish.names)
        if (hosts && !is_host_name(name))
            return script.fatal(fmt::format("\"{}\" is no host name", printable(name)));
    if (!wish.host.empty() && !is_host_name(wish.host))
        return script.fatal(fmt::format("\"{}\" is no host name", printable(wish.host)));
    if (wish.random.find_first_of("\r\n") != std::string::npos)
        return script.fatal("-r needs one line");
    Tls tls(snapshot, script);
    return found->run(tls, wish);
}

}  // namespace posthorn::commands
