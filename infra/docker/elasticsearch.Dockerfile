# The official image, with its plugins for Korean and Japanese.
FROM docker.elastic.co/elasticsearch/elasticsearch:8.19.21
RUN bin/elasticsearch-plugin install --batch analysis-nori analysis-kuromoji
