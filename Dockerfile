FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p clipkeep

FROM debian:bookworm-slim
# ffmpeg draws posters and reads what clipkeep does not; without it there are none.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates ffmpeg && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /data --shell /usr/sbin/nologin clipkeep \
    && install -d -o clipkeep -g clipkeep /data
COPY --from=build /src/target/release/clipkeep /usr/local/bin/clipkeep
USER clipkeep
ENV CLIPKEEP_DATA=/data CLIPKEEP_LISTEN=0.0.0.0:8787
VOLUME /data
EXPOSE 8787
STOPSIGNAL SIGTERM
ENTRYPOINT ["clipkeep"]
CMD ["serve"]
