// OpenSSL's own configuration: the system's file, none, or the administrator's (tls_config_file, tls_config_name).
#include "tls/core.hpp"

#include <fmt/format.h>
#include <openssl/conf.h>
#include <openssl/err.h>

namespace posthorn::tls {

namespace {

using LibraryConfig = std::unique_ptr<CONF, FreeBy<NCONF_free>>;

Error wrong_config(const std::string& file, std::string_view why)
{
    const std::string reasons = openssl_reasons();
    return Error{fmt::format("tls_config_file: {}: {}{}", file, why, reasons.empty() ? reasons : ": " + reasons), "4.3.5"};
}

/// What the system's file says; where it is wrong, or not there, nothing is said, as OpenSSL does when it reads it by itself.
void load_system_config(const char* name)
{
    char* const path = CONF_get1_default_config_file();
    if (path)
        CONF_modules_load_file(path, name,
                               CONF_MFLAGS_DEFAULT_SECTION | CONF_MFLAGS_IGNORE_MISSING_FILE | CONF_MFLAGS_IGNORE_ERRORS | CONF_MFLAGS_SILENT);
    OPENSSL_free(path);
    ERR_clear_error();
}

Result<void> load_own_config(const std::string& file, const char* name, const ReadFile& read)
{
    TRY(const std::string text, read(file));
    const Bio source(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    const LibraryConfig config(NCONF_new(nullptr));
    long line = 0;
    if (NCONF_load_bio(config.get(), source.get(), &line) != 1)
        return wrong_config(file, fmt::format("line {}", line));
    if (!NCONF_get_string(config.get(), nullptr, name ? name : "openssl_conf")) {
        ERR_clear_error();
        return wrong_config(file, fmt::format("nothing for the application name \"{}\" (tls_config_name)", name ? name : "openssl_conf"));
    }
    if (CONF_modules_load(config.get(), name, 0) <= 0)
        return wrong_config(file, "not understood");
    return {};
}

}  // namespace

Result<void> configure_library(const Options& options, const ReadFile& read)
{
    static std::string configured;                                    // OpenSSL has one configuration for the whole process
    const std::string& file = options.config_file;
    if (file == "default" && options.config_name.empty())             // it reads the system's file by itself
        return {};
    if (file != "default" && file != "none" && !file.starts_with('/'))
        return wrong_config(file, "expected default, none or an absolute path");
    const std::string wanted = file + '\n' + options.config_name;
    if (wanted == configured)
        return {};
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
    OPENSSL_load_builtin_modules();
    CONF_modules_finish();
    configured.clear();
    const char* const name = options.config_name.empty() ? nullptr : options.config_name.c_str();
    if (file == "default")
        load_system_config(name);
    else if (file != "none")
        TRY_VOID(load_own_config(file, name, read));
    configured = wanted;
    return {};
}

}  // namespace posthorn::tls
