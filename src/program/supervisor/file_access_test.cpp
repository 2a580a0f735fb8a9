#include "supervisor/file_access.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

using namespace posthorn;
using namespace posthorn::supervisor;

TEST_CASE("broker: grants what a value names, alone, in a list, behind a table type, and with that type's suffix")
{
    FileAccess access;
    access.grant_value("smtpd_tls_chain_files", "/etc/tls/key.pem, /etc/tls/cert.pem");
    access.grant_value("mynetworks", "127.0.0.0/8 !192.0.2.1 /etc/postfix/networks");
    access.grant_value("virtual_alias_maps", "lmdb:/etc/postfix/virtual, pipemap:{hash:/etc/a, proxy:cidr:/etc/b}");
    for (const char* path : {"/etc/tls/key.pem", "/etc/tls/cert.pem", "/etc/postfix/networks", "/etc/postfix/virtual", "/etc/postfix/virtual.lmdb",
                             "/etc/a", "/etc/a.db", "/etc/b"})
        CHECK_MESSAGE(access.granted(path), path);
    CHECK_FALSE(access.granted("/etc/b.db"));
    CHECK_FALSE(access.granted("/etc/shadow"));
    CHECK_FALSE(access.granted("/etc/passwd"));
    access.grant_value("local_recipient_maps", "proxy:unix:passwd.byname hash:/etc/aliases");
    CHECK(access.granted("/etc/passwd"));
    CHECK(access.granted("/etc/nsswitch.conf"));
    CHECK_FALSE(access.granted("/etc/shadow"));
    CHECK_FALSE(access.granted("/etc/group"));
}

TEST_CASE("broker: folders, programs, addresses with a colon and ways out through .. grant nothing")
{
    FileAccess access;
    access.grant_value("queue_directory", "/var/spool/postfix");
    access.grant_value("mailbox_command", "/usr/bin/procmail -a /etc/shadow");
    access.grant_value("alias_maps", "hash:/etc/postfix/../shadow");
    access.grant_value("relayhost", "[mail.example.com]:25");
    access.grant_value("smtp_tls_CApath", "/etc/ssl/certs");
    access.grant_value("x", "tcp://127.0.0.1/x /");
    CHECK(access.size() == 0);
}

TEST_CASE("broker: files of certificates by name are granted where the table names them, as text or inline; what stands in a key grants nothing")
{
    char name[] = "/tmp/posthorn-broker-XXXXXX";
    const std::string folder = ::mkdtemp(name);
    std::ofstream(folder + "/table") << "mx.one.test /etc/tls/one.key, /etc/tls/one.pem\n.two.test " << folder << "/two.pem\n";
    std::ofstream(folder + "/two.pem") << "-----BEGIN PRIVATE KEY-----\n/etc/shadow\n-----END PRIVATE KEY-----\n";
    FileAccess access;
    access.grant_value("tls_server_sni_maps", "texthash:" + folder + "/table, inline:{ {mx.test=/etc/tls/mx.key /etc/tls/mx.pem} }");
    access.follow_lists();
    for (const std::string& path : {folder + "/table", folder + "/two.pem", std::string("/etc/tls/one.key"), std::string("/etc/tls/one.pem"),
                                    std::string("/etc/tls/mx.key"), std::string("/etc/tls/mx.pem")})
        CHECK_MESSAGE(access.granted(path), path);
    CHECK_FALSE(access.granted("/etc/shadow"));
    FileAccess keys;
    keys.grant_value("dkim_key_maps", "texthash:" + folder + "/table");
    keys.follow_lists();
    CHECK(keys.granted("/etc/tls/one.key"));
    // Another table's values are no names of files.
    FileAccess other;
    other.grant_value("transport_maps", "texthash:" + folder + "/table");
    other.follow_lists();
    CHECK_FALSE(other.granted("/etc/tls/one.key"));
    for (const char* const file : {"/table", "/two.pem", ""})
        std::remove((folder + file).c_str());
}

TEST_CASE("broker: who is asked about senders of users gets their names")
{
    FileAccess access;
    access.grant_value("local_login_sender_maps", "static:*");
    CHECK_FALSE(access.granted("/etc/passwd"));
    access.grant_value("local_login_sender_maps", "inline:{{root=*}}");
    CHECK(access.granted("/etc/passwd"));
}

TEST_CASE("broker: what a list file names is granted, however deep; not what others could have written, nor what a key file says")
{
    char name[] = "/tmp/posthorn-broker-XXXXXX";
    const std::string folder = ::mkdtemp(name);
    const auto file = [&](const char* which, const std::string& text) {
        std::ofstream(folder + "/" + which) << text;
        return folder + "/" + which;
    };
    const std::string inner = file("inner", "!lmdb:/etc/postfix/deep\n");
    const std::string outer = file("outer", "# hash:/etc/commented\n127.0.0.0/8, cidr:/etc/postfix/nets\n  " + inner + "\n");
    const std::string loop = file("loop", folder + "/loop cidr:/etc/looped\n");
    const std::string open = file("open", "hash:/etc/shadow\n");
    REQUIRE(::chmod(open.c_str(), 0666) == 0);
    const std::string key = file("key", "hash:/etc/shadow\n");
    FileAccess access;
    access.grant_value("mynetworks", outer + " " + loop + " " + open);
    access.grant_value("smtpd_tls_key_file", key);
    access.follow_lists();
    for (const char* path : {"/etc/postfix/nets", "/etc/postfix/deep.lmdb", "/etc/looped"})
        CHECK_MESSAGE(access.granted(path), path);
    CHECK(access.granted(inner));
    CHECK_FALSE(access.granted("/etc/commented"));
    CHECK_FALSE(access.granted("/etc/shadow"));
    for (const char* which : {"inner", "outer", "loop", "open", "key"})
        ::unlink((folder + "/" + which).c_str());
    ::rmdir(folder.c_str());
}

TEST_CASE("broker: only regular files are opened, and another file under the same name is seen as a change")
{
    char name[] = "/tmp/posthorn-broker-XXXXXX";
    const std::string folder = ::mkdtemp(name);
    const std::string path = folder + "/table";
    CHECK(open_for_service(path).error().text() == "open " + path + ": No such file or directory");
    CHECK(open_for_service(folder).error().text() == "open " + folder + ": not a regular file");
    std::ofstream(path) << "one";
    const auto first = open_for_service(path);
    REQUIRE(first);
    CHECK(identity_of(path) == first->identity);
    std::ofstream(folder + "/new") << "two";
    REQUIRE(::rename((folder + "/new").c_str(), path.c_str()) == 0);
    CHECK_FALSE(identity_of(path) == first->identity);
    ::unlink(path.c_str());
    CHECK_FALSE(identity_of(path).there);
    ::rmdir(folder.c_str());
}

TEST_CASE("broker: the file of a database's parameters grants what its domain and its backup name, and nothing else that stands in it")
{
    char name[] = "/tmp/posthorn-broker-XXXXXX";
    const std::string folder = ::mkdtemp(name);
    std::ofstream(folder + "/cache.cf") << "memcache = unix:/run/cache\nbackup = proxy:mysql:" << folder << "/my.cf\n";
    std::ofstream(folder + "/my.cf") << "dbname = x\nquery = /etc/shadow\ntls_key_file = /etc/tls/my.key\ndomain = one.test\n " << folder
                                     << "/domains\n";
    std::ofstream(folder + "/domains") << "two.test\nhash:/etc/more\n";
    FileAccess access;
    access.grant_value("virtual_mailbox_maps", "memcache:" + folder + "/cache.cf");
    access.follow_lists();
    for (const std::string& path :
         {folder + "/cache.cf", folder + "/my.cf", folder + "/domains", std::string("/etc/more"), std::string("/etc/more.db")})
        CHECK_MESSAGE(access.granted(path), path);
    for (const char* path : {"/etc/shadow", "/etc/tls/my.key", "/run/cache"})
        CHECK_FALSE_MESSAGE(access.granted(path), path);
}
