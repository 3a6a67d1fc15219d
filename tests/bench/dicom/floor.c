/* The floor: a server that answers prepared bytes to the same exchange. Nothing that decides can be faster.
 *
 *   floor PORT ACCEPT RESPONSES [FOLDER]
 *
 * A thread per connection: to an A-ASSOCIATE-RQ it sends the file ACCEPT, to a whole message the file RESPONSES, to a
 * release request the release response. With a FOLDER, data sets are written there, a file each.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct { unsigned char *bytes; size_t length; } blob;
enum { ROOM = 1 << 21 };

static blob accept_bytes, response_bytes;
static const char *folder;
static long files;

static blob read_file(const char *path)
{
    blob file = {0, 0};
    FILE *handle = fopen(path, "rb");
    if (!handle) { perror(path); exit(2); }
    fseek(handle, 0, SEEK_END);
    file.length = ftell(handle);
    rewind(handle);
    file.bytes = malloc(file.length + 1);
    if (file.length && fread(file.bytes, 1, file.length, handle) != file.length) exit(2);
    fclose(handle);
    return file;
}

static int send_all(int socket, const unsigned char *bytes, size_t length)
{
    while (length) {
        ssize_t sent = send(socket, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0) return -1;
        bytes += sent;
        length -= sent;
    }
    return 0;
}

static int write_part(int file, const unsigned char *bytes, size_t length)
{
    if (file < 0) {
        char path[512];
        snprintf(path, sizeof path, "%s/%ld", folder, __sync_fetch_and_add(&files, 1));
        file = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    }
    return write(file, bytes, length) < 0 ? -1 : file;
}

static void *serve(void *argument)
{
    int socket = (long)argument, one = 1, file = -1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    unsigned char *buffer = malloc(ROOM);
    static const unsigned char released[10] = {6, 0, 0, 0, 0, 4};
    for (size_t have = 0;;) {
        ssize_t got = recv(socket, buffer + have, ROOM - have, 0);
        if (got <= 0) break;
        have += got;
        size_t at = 0;
        while (have - at >= 6) {
            unsigned char *pdu = buffer + at;
            uint32_t length = (uint32_t)pdu[2] << 24 | pdu[3] << 16 | pdu[4] << 8 | pdu[5];
            if (have - at < 6 + (size_t)length) break;
            if (pdu[0] == 1) send_all(socket, accept_bytes.bytes, accept_bytes.length);
            if (pdu[0] == 5) send_all(socket, released, 10);
            if (pdu[0] == 4) {
                unsigned char control = pdu[11];
                if (folder && !(control & 1)) file = write_part(file, pdu + 12, length - 6);
                if (control == 2) {
                    if (file >= 0) { close(file); file = -1; }
                    send_all(socket, response_bytes.bytes, response_bytes.length);
                }
            }
            at += 6 + length;
        }
        memmove(buffer, buffer + at, have - at);
        have -= at;
    }
    close(socket);
    free(buffer);
    return 0;
}

int main(int number, char **words)
{
    if (number < 4) { fprintf(stderr, "floor PORT ACCEPT RESPONSES [FOLDER]\n"); return 2; }
    accept_bytes = read_file(words[2]);
    response_bytes = read_file(words[3]);
    folder = number > 4 ? words[4] : 0;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {0};
    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(words[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 256)) { perror("bind"); return 1; }
    for (;;) {
        int socket = accept(listener, 0, 0);
        if (socket < 0) continue;
        pthread_t thread;
        pthread_create(&thread, 0, serve, (void *)(long)socket);
        pthread_detach(thread);
    }
}
