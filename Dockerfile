# syntax=docker/dockerfile:1
# One image for both roles: `sallyport issuer` and `sallyport sidecar`.

FROM node:26-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The npm package `node` is for machines with an older Node; it is a development dependency and so left out here.
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force

FROM node:26-slim AS application
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY bin ./bin
COPY issuer ./issuer
COPY sidecar ./sidecar
COPY shared ./shared
# Types are stripped and code is compiled once, here: the running container only reads the cache, so that its file
# system can be read-only. The command itself is a program, which the first cannot import: it caches itself.
ENV NODE_COMPILE_CACHE=/app/compile-cache
RUN node bin/warm-compile-cache.ts && node bin/sallyport.ts settings > /dev/null

FROM node:26-slim
WORKDIR /app
ENV NODE_ENV=production NODE_COMPILE_CACHE=/app/compile-cache DATA_DIR=/data \
    ISSUER_HOST=0.0.0.0 SIDECAR_HOST=0.0.0.0
COPY --from=application --chown=root:root /app /app
RUN install -d -o node -g node -m 0700 /data
# Numeric, so that `runAsNonRoot` of Kubernetes can tell.
USER 1000:1000
VOLUME /data
EXPOSE 4000 8080 8081
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 \
  CMD ["node", "/app/bin/sallyport.ts", "health"]
# Node forwards no signal it does not handle: with SIGTERM handled by the program, no init process is needed.
ENTRYPOINT ["node", "/app/bin/sallyport.ts"]
CMD ["issuer"]
