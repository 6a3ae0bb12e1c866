package headrace;

import java.util.Map;
import java.util.function.Supplier;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.cjk.CJKAnalyzer;
import org.apache.lucene.analysis.ja.JapaneseAnalyzer;
import org.apache.lucene.analysis.ko.KoreanAnalyzer;
import org.elasticsearch.index.analysis.AnalyzerProvider;
import org.elasticsearch.index.analysis.AnalyzerScope;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.plugins.Plugin;

/** The analyzers {@code cjk}, {@code kuromoji} and {@code nori}, under the names of Elasticsearch's own. */
public final class LanguageAnalysis extends Plugin implements AnalysisPlugin {

    @Override
    public Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> getAnalyzers() {
        return Map.of(
            "cjk", analyzer(CJKAnalyzer::new),
            "kuromoji", analyzer(JapaneseAnalyzer::new),
            "nori", analyzer(KoreanAnalyzer::new));
    }

    private static AnalysisProvider<AnalyzerProvider<? extends Analyzer>> analyzer(Supplier<Analyzer> made) {
        return (index, environment, name, settings) -> {
            // Each index has its own, because an index closes its analyzers.
            Analyzer analyzer = made.get();
            return new AnalyzerProvider<Analyzer>() {
                @Override
                public String name() {
                    return name;
                }

                @Override
                public AnalyzerScope scope() {
                    return AnalyzerScope.INDEX;
                }

                @Override
                public Analyzer get() {
                    return analyzer;
                }
            };
        };
    }
}
