#include "services/tls_files.hpp"

#include "tls/testing.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include <sys/mman.h>
#include <unistd.h>

using namespace posthorn;
using namespace posthorn::services;
using namespace std::chrono_literals;

namespace {

Fd file_of(const std::string& text)
{
    Fd file(::memfd_create("pem", MFD_CLOEXEC));
    REQUIRE(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    return file;
}

}  // namespace

TEST_CASE("tls files: a renewed certificate is served without a reload once its key has come too; half of a pair changes nothing, and says so")
{
    asio::io_context loop;
    const auto sink = std::make_shared<observe::MemorySink>();
    const tls::Pem old = tls::leaf("old.test"), renewed = tls::leaf("new.test");
    const auto files = std::make_shared<TableFiles>();
    files->changed("/cert", file_of(old.certificate));
    files->changed("/key", file_of(old.key));
    tls::Options options;
    options.certificates = {{"/cert", "/key"}};
    const auto server = tls::Context::server(options, tls::files({{"/cert", old.certificate}, {"/key", old.key}})).value();
    TaskGroup tasks(loop.get_executor());
    TlsFiles follower(loop.get_executor(), server, files, observe::Log(sink, "postfix/smtpd"), 10ms);
    tasks.spawn(follower.follow());
    const auto served = [&] { return tls::meet(loop, tls::client_context(), server).client->facts.peer_cn; };
    const auto logged = [&](std::string_view text) {
        return std::ranges::any_of(sink->lines, [&](const std::string& line) { return line.find(text) != line.npos; });
    };
    const auto wait_for = [&](std::string_view text) {
        for (int i = 0; i < 1000 && !logged(text); ++i) {
            loop.restart();
            loop.run_for(10ms);
        }
        return logged(text);
    };
    files->changed("/other", file_of("x"));
    files->changed("/cert", file_of(renewed.certificate));
    CHECK(wait_for("warning: TLS: cannot load certificate/key data from /cert: "));
    CHECK(served() == "old.test");
    files->changed("/key", file_of(renewed.key));
    CHECK(wait_for("TLS: keys and certificates were read again: /cert, /key"));
    CHECK(served() == "new.test");
    run(loop, tasks.close());
}
